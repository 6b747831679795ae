"""A synthetic world: scenes of moving objects with exact ground truth."""

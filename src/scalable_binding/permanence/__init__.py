"""Object permanence: a random walk along the states of a spatial memory."""

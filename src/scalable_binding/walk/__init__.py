"""Affinities between nodes of frames, walks along them, and neighbours across a video."""

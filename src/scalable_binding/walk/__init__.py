"""Affinities between nodes of frames, walks along them, and neighbors across a video."""

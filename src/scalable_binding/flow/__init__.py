"""Multiscale contrastive random walk: dense optical flow and point trajectories (thesis 3.6.1)."""

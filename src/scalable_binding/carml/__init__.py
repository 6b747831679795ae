"""Curricula for unsupervised meta-reinforcement learning: an agent that makes its own tasks."""

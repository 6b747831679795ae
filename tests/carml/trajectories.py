"""Trajectories for tests of what is fit to them."""

import torch


def blobs(num=40, length=5, width=3, seed=0):
    """Trajectories of wandering means: states of one lie near each other, not too near."""
    generator = torch.Generator().manual_seed(seed)
    centers = 3 * torch.randn(num, 1, width, generator=generator, dtype=torch.float64)
    noise = torch.randn(num, length, width, generator=generator, dtype=torch.float64)
    return centers + noise

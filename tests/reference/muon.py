"""Muon one matrix at a time, by singular values, in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class SlowMuon:
    """Updates one matrix as Jordan et al. 2024 do, with the step length of Liu et al. 2025."""

    def __init__(self, lr: float, beta: float, decay: float) -> None:
        self.lr, self.beta, self.decay = lr, beta, decay
        self.mean: Tensor | None = None

    def step(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """The weight after one update."""
        before = torch.zeros_like(weight) if self.mean is None else self.mean
        self.mean = self.beta * before + (1 - self.beta) * gradient
        ahead = self.beta * self.mean + (1 - self.beta) * gradient
        length = 0.2 * math.sqrt(max(weight.shape))
        return weight - self.lr * self.decay * weight - self.lr * length * evened(ahead)


def evened(matrix: Tensor) -> Tensor:
    """The matrix whose singular values, over their common norm, went five times through
    3.4445 s - 4.775 s^3 + 2.0315 s^5."""
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    s = [float(value) for value in values / values.square().sum().sqrt()]
    for _ in range(5):
        s = [3.4445 * x - 4.775 * x**3 + 2.0315 * x**5 for x in s]
    return u @ torch.diag(torch.tensor(s, dtype=matrix.dtype)) @ v

"""A denoiser without error: that of normal data, for which everything is known in closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scalable_binding.diffusion import targets
from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.diffusion.schedules import Schedule
from scalable_binding.diffusion.targets import Target


def denoiser(mean: float, deviation: float, target: Target = "x") -> Denoise:
    """``E[x | x_t]`` for independent normal data, as the target asks for it."""

    def denoise(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        g = gamma.view(-1, *(1 for _ in x_t.shape[1:]))
        share = deviation**2 * g.sqrt() / (g * deviation**2 + 1 - g)
        x = mean + share * (x_t - g.sqrt() * mean)
        eps = targets.to_eps(x, x_t, gamma)
        return targets.from_x(x, eps, gamma, target), (carry or 0) + 1

    return denoise


def flow(
    x: Tensor, mean: float, deviation: float, schedule: Schedule, start: float, end: float
) -> Tensor:
    """Where the probability-flow equation leads ``x`` from time ``start`` to time ``end``."""
    g, h = (schedule(torch.tensor(time, dtype=torch.float64)) for time in (start, end))
    standard = (x - g.sqrt() * mean) / (g * deviation**2 + 1 - g).sqrt()
    return h.sqrt() * mean + (h * deviation**2 + 1 - h).sqrt() * standard

"""What stands in one place is read there, carried by latents, and written in another place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from einops import repeat
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.rin import model

SMALL: dict[str, Any] = {
    "size": (4, 8, 8),
    "channels": 1,
    "patch": (2, 4, 4),
    "context": 2,
    "num_latents": 6,
    "latent_width": 32,
    "interface_width": 16,
    "num_blocks": 2,
    "num_layers": 1,
    "num_heads": 4,
    "cross_heads": 4,
}
WITHOUT_PLACES = 1 / 6
"""The least error of who knows the mean of both halves, but not which is which."""


def draw_halves(num: int, generator: Generator) -> Float[Tensor, "b 1 4 8 8"]:
    """Still videos, each half as bright as chance wills it, evenly in [-1, 1]."""
    levels = 2 * torch.rand(num, 2, generator=generator) - 1
    return repeat(levels, "b half -> b 1 t h (half w)", t=4, h=8, w=4)


@pytest.mark.slow
def test_places_are_told_apart_within_seconds() -> None:
    """Frames of noise alone, so that all there is to know stands in the frames that are given.

    With reading or writing broken the error stays at 1/3, the variance of brightness; with both
    blind to places, at 1/6.
    """
    generator = Generator().manual_seed(0)
    network = model.init_model(0, **SMALL, embedding_std=1.0)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.01)
    errors = []
    for _ in range(220):
        x = draw_halves(32, generator)
        noise = torch.randn(32, 1, 2, 8, 8, generator=generator)
        seen = torch.cat([x[:, :, :2], noise], dim=2)
        found = network(seen, torch.full((32,), 1e-4)).prediction
        error = (found - x)[:, :, 2:].square().mean()
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        errors.append(error.item())
    assert sum(errors[:10]) / 10 > 1 / 3
    assert sum(errors[-20:]) / 20 < WITHOUT_PLACES / 4

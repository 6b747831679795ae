"""Affinities of each pixel to those in a square window around its place."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def window_offsets(radius: int, device: torch.device | None = None) -> Float[Tensor, "k 2"]:
    """Return the displacements (x, y) in pixels of the places of a window, k = (2 radius + 1)^2.

    Places are in row-major order, as in all of this module, so the displacement that a walker
    expects is ``affinity @ window_offsets(radius)``.
    """
    line = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=-1)


def local_windows(x: Float[Tensor, "b c h w"], radius: int) -> Float[Tensor, "b c h w k"]:
    """Return the window of each pixel, k = (2 radius + 1)^2 values, zero outside the image.

    Takes k times the memory of ``x``.
    """
    size = 2 * _checked(radius) + 1
    windows = F.pad(x, [radius] * 4).unfold(2, size, 1).unfold(3, size, 1)
    return rearrange(windows, "b c h w i j -> b c h w (i j)")


def local_affinity(
    a: Float[Tensor, "b d h w"], b: Float[Tensor, "b d h w"], radius: int, temperature: float
) -> Float[Tensor, "b h w k"]:
    """Return the probabilities of steps from each pixel of ``a`` into its window of ``b``.

    Rows sum to one, and places outside the image get nothing. Differentiable in both; float32 at
    least. Places are compared one after the other, so no table of windows of features is made.

    Args:
        a: features of the pixels that a walker leaves, l2-normalised along ``d``.
        b: features of the pixels that it may go to.
        radius: pixels from the middle of the window to its side; k = (2 radius + 1)^2.
        temperature: divides the similarities.

    Raises:
        ValueError: a radius below zero, or a temperature that is not above it.

    Source: Thesis Eq. 3.1 and 3.6.1.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    size = 2 * _checked(radius) + 1
    _, _, h, w = a.shape
    dtype = torch.promote_types(a.dtype, torch.float32)
    a, padded = a.to(dtype), F.pad(b.to(dtype), [radius] * 4)
    similarities = [
        (a * padded[:, :, y : y + h, x : x + w]).sum(dim=1)
        for y in range(size)
        for x in range(size)
    ]
    inside = local_windows(a.new_ones(1, 1, h, w), radius)[:, 0] > 0
    logits = torch.stack(similarities, dim=-1) / temperature
    return logits.masked_fill(~inside, -math.inf).softmax(dim=-1)


def _checked(radius: int) -> int:
    if radius < 0:
        raise ValueError(f"radius: expected a whole number of at least 0, got {radius}")
    return radius

"""Affinities of each pixel to those in a square window around its place."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

_SMALL = 12
"""Windows that an image holds at most for comparing all its pixels to be the faster way."""


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
    least. No table of windows of features is made: places are compared one after the other, or,
    where the image is hardly larger than its windows, all with all in one product.

    Args:
        a: features of the pixels that a walker leaves, l2-normalized along ``d``.
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
    is_small = h * w <= _SMALL * size**2
    compare = _compare_all if is_small else _compare_in_turn
    logits = compare(a.to(dtype), b.to(dtype), radius) / temperature
    inside = local_windows(logits.new_ones(1, 1, h, w), radius)[:, 0] > 0
    return logits.masked_fill(~inside, -math.inf).softmax(dim=-1)


def _compare_in_turn(
    a: Float[Tensor, "b d h w"], b: Float[Tensor, "b d h w"], radius: int
) -> Float[Tensor, "b h w k"]:
    """Inner products with each window, one of its places after the other."""
    h, w = a.shape[2:]
    padded, size = F.pad(b, [radius] * 4), 2 * radius + 1
    similarities = [
        (a * padded[:, :, y : y + h, x : x + w]).sum(dim=1)
        for y in range(size)
        for x in range(size)
    ]
    return torch.stack(similarities, dim=-1)


def _compare_all(
    a: Float[Tensor, "b d h w"], b: Float[Tensor, "b d h w"], radius: int
) -> Float[Tensor, "b h w k"]:
    """The same out of the products of all pixels with all; anything outside the image."""
    batch, _, h, w = a.shape
    with torch.autocast(a.device.type, enabled=False):
        every = torch.einsum("bdn,bdm->bnm", a.flatten(2), b.flatten(2))
    places = _places(h, w, radius).to(a.device).expand(batch, -1, -1)
    return rearrange(every.gather(2, places), "b (h w) k -> b h w k", h=h)


@lru_cache(maxsize=8)
def _places(h: int, w: int, radius: int) -> Int64[Tensor, "n k"]:
    """The pixels of each pixel's window; in place of those outside the image the nearest inside."""
    line = torch.arange(-radius, radius + 1)
    y = (torch.arange(h)[:, None] + line).clamp(0, h - 1)
    x = (torch.arange(w)[:, None] + line).clamp(0, w - 1)
    return rearrange(y[:, None, :, None] * w + x[None, :, None, :], "h w i j -> (h w) (i j)")


def local_step(
    walkers: Float[Tensor, "b m h w"], affinity: Float[Tensor, "b h w k"], radius: int
) -> Float[Tensor, "b m h w"]:
    """Return where walkers are after one step: a row vector times the sparse matrix of the steps.

    Mass is kept as long as the rows of ``affinity`` sum to one and places outside the image have
    none, as in `local_affinity`.

    Args:
        walkers: probability of each of m walkers to be at each pixel.
        affinity: probabilities of the steps from each pixel into its window.
        radius: of the windows, k = (2 radius + 1)^2.

    Raises:
        ValueError: a radius that is not the one of ``affinity``.

    Source: Thesis Eq. 3.2 with a sparse transition.
    """
    size = 2 * _checked(radius) + 1
    if affinity.shape[-1] != size**2:
        got = affinity.shape[-1]
        raise ValueError(f"affinity: expected {size**2} places for radius {radius}, got {got}")
    b, _, h, w = walkers.shape
    moved = walkers[..., None] * affinity[:, None]
    columns = rearrange(moved, "b m h w k -> (b m) k (h w)")
    landed = F.fold(columns, (h + 2 * radius, w + 2 * radius), size)
    inside = landed[:, 0, radius : radius + h, radius : radius + w]
    return rearrange(inside, "(b m) h w -> b m h w", b=b)


def _checked(radius: int) -> int:
    if radius < 0:
        raise ValueError(f"radius: expected a whole number of at least 0, got {radius}")
    return radius

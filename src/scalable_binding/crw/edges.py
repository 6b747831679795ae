"""Guided filter: soft masks on coarse cells become masks that follow the picture's edges."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

RADIUS = 3
"""Of the filter's windows, in half cells: windows of 7 x 7 of these."""

EPSILON = 1e-5
"""Added to the variances of colors in [0, 1]: what varies less counts as flat."""


def sharpen(
    maps: Float[Tensor, "c h8 w8"], frame: UInt8[Tensor, "3 h w"]
) -> Float[Tensor, "c h w"]:
    """Soft maps at the frame's own size, each locally a linear function of the frame's colors.

    In every window a map is fitted by ``a . color + b`` (ridge regression); pixels get the mean of
    the fits of the windows that they lie in. As in the fast variant, the fits are made on a coarser
    grid, here one of half cells, and their coefficients enlarged. Maps that sum to one in each cell
    still do.

    Args:
        maps: background first.
        frame: colors that guide.

    Source: He, Sun & Tang, "Guided Image Filtering", PAMI 2013, section 3.5 (color guides); He &
    Sun, "Fast Guided Filter", arXiv 1505.00996.
    """
    height, width = frame.shape[1:]
    step = max(1, round(height / maps.shape[1] / 2))
    grid = (-(-height // step), -(-width // step))
    colors = frame.float() / 255
    guide = functional.interpolate(colors[None], grid, mode="area")
    coarse = functional.interpolate(maps[None], grid, mode="bilinear")
    slopes, offsets = fit(guide[0], coarse[0, 1:])
    total = functional.interpolate(maps.sum(0)[None, None], (height, width), mode="bilinear")[0, 0]
    found = maps.new_zeros(len(maps), height, width)
    for number, (slope, offset) in enumerate(zip(slopes, offsets, strict=True), start=1):
        _apply(slope, offset, colors, found[number])
    found[0] = total - found[1:].sum(0)
    return found.clamp_(0, 1)


def fit(
    guide: Float[Tensor, "3 h w"], maps: Float[Tensor, "c h w"]
) -> tuple[Float[Tensor, "c 3 h w"], Float[Tensor, "c h w"]]:
    """The mean, over the windows around each place, of the coefficients fitted in them."""
    mean = _box(guide)
    products = rearrange(guide[:, None] * guide[None], "i j h w -> (i j) h w")
    covariance = rearrange(_box(products), "(i j) h w -> h w i j", i=3)
    covariance = covariance - torch.einsum("ihw,jhw->hwij", mean, mean)
    covariance = covariance + EPSILON * torch.eye(3, dtype=guide.dtype, device=guide.device)
    mean_map = _box(maps)
    crossed = rearrange(maps[:, None] * guide[None], "c i h w -> (c i) h w")
    crossed = rearrange(_box(crossed), "(c i) h w -> c i h w", i=3) - mean_map[:, None] * mean
    slopes = torch.einsum("hwij,cjhw->cihw", torch.linalg.inv(covariance), crossed)
    offsets = mean_map - torch.einsum("cihw,ihw->chw", slopes, mean)
    smooth = _box(rearrange(slopes, "c i h w -> (c i) h w"))
    return rearrange(smooth, "(c i) h w -> c i h w", i=3), _box(offsets)


def _box(planes: Float[Tensor, "c h w"]) -> Float[Tensor, "c h w"]:
    """The mean of each plane over windows, which end where the plane ends."""
    side = 2 * RADIUS + 1
    for kernel, padding in (((side, 1), (RADIUS, 0)), ((1, side), (0, RADIUS))):
        planes = functional.avg_pool2d(
            planes[None], kernel, stride=1, padding=padding, count_include_pad=False
        )[0]
    return planes


def _apply(
    slopes: Float[Tensor, "3 h w"],
    offsets: Float[Tensor, "h w"],
    colors: Float[Tensor, "3 h2 w2"],
    out: Float[Tensor, "h2 w2"],
) -> None:
    """Write ``slopes . color + offsets``, enlarged to the frame, where these are not zero.

    Most maps are empty nearly everywhere, and so are their coefficients: only the box around the
    others is enlarged.
    """
    coefficients = torch.cat([slopes, offsets[None]])
    inside = []
    for axis, size in enumerate(out.shape):
        used = (coefficients != 0).any(0).any(1 - axis).nonzero()
        if not len(used):
            return
        ratio = size / offsets.shape[axis]
        low, high = math.floor((int(used[0]) - 1) * ratio), math.ceil((int(used[-1]) + 2) * ratio)
        inside.append(slice(max(low, 0), min(high, size)))
        coefficients = _stretch(coefficients, axis + 1, size, inside[-1])
    out[*inside] = (coefficients[:3] * colors[:, *inside]).sum(0) + coefficients[3]


def _stretch(
    planes: Float[Tensor, "c _ _"], axis: int, size: int, part: slice
) -> Float[Tensor, "c _ _"]:
    """Part of what linear interpolation to ``size`` along an axis gives."""
    known = planes.shape[axis]
    places = torch.arange(part.start, part.stop, device=planes.device)
    places = ((places + 0.5) * (known / size) - 0.5).clamp(0, known - 1)
    below = places.floor().long()
    above = (below + 1).clamp(max=known - 1)
    share = (places - below).view([-1 if each == axis else 1 for each in range(3)])
    return torch.lerp(planes.index_select(axis, below), planes.index_select(axis, above), share)

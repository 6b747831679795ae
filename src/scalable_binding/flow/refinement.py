"""Sub-pixel refinement of optical flow by iterated least squares (Lucas and Kanade, 1981).

The walk says to within a node where a pixel goes. From there on the brightness of the two images
says the rest: a few Gauss-Newton steps of the displacement, each the least-squares solution over a
window, with weights that trust large differences less. What a step finds does not depend on a
local change of light, since the mean difference around a pixel is subtracted.

Pixels whose way back does not lead home have nothing to be compared with. They take the
displacement of those around them, interpolated from coarse to fine (pull-push).
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.walk.multiscale import grid

Gray = Float[Tensor, "b 1 _ _"]
Displacements = Float[Tensor, "b 2 _ _"]

_POOL = 2
"""Pixels to a side whose equations are summed into one before they are solved."""

_WINDOW = 5
"""Side of the square window of a solution, in pooled pixels."""

_LIGHT = 4, 5
"""The mean difference around a pixel is over a square of 5 x 5 blocks of 4 pixels."""

_RIDGE = 3e-4
"""Added to the diagonal of the equations: without texture nothing moves."""

_SCALE = 0.02
"""Differences of brightness (0 to 1) from which on they count less than their square."""

_LONGEST = 1.0
"""Pixels that a step goes at most."""


def brightness(frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "1 1 h w"]:
    """The mean of the colors, in [0, 1], smoothed over 3 x 3 pixels."""
    return _box(frame[None].float().mean(dim=1, keepdim=True) / 255, 3)


def refine_both_ways(
    first: Gray, second: Gray, there: Displacements, back: Displacements
) -> tuple[Displacements, Bool[Tensor, "b h w"], Displacements]:
    """Refined displacements there, which pixels are hidden, and refined displacements back.

    Those there are interpolated at hidden pixels (:func:`scalable_binding.flow.occlusion.is_hidden`
    of the refined displacements); those back are not.

    Args:
        first, second: from :func:`brightness`.
        there: displacement (x, y) of each pixel of ``first``, in pixels.
        back: of each pixel of ``second``.
    """
    there, back = _coarse_to_fine(first, second, there), _coarse_to_fine(second, first, back)
    hidden = is_hidden(there, back)
    filled = least_squares_step(first, second, fill(there, ~hidden))
    return filled, hidden, back


def least_squares_step(first: Gray, second: Gray, flow: Displacements) -> Displacements:
    """One Gauss-Newton step: ``min_s sum_window weight (I_2(x + w) - I_1(x) + grad I . s)^2``.

    The gradient is the mean of both images' (symmetric), the weight ``1 / (|difference| + c)``
    (iteratively reweighted least squares for the absolute difference), 0 where the place is outside
    the second image. Equations are summed and solved at half the resolution.

    Args:
        first, second: brightness in [0, 1].
        flow: where to start, in pixels.

    Source: Lucas and Kanade, IJCAI 1981.
    """
    size = flow.shape[-2:]
    target = _targets(flow)
    seen = _sample(torch.cat([second, *_gradient(second)], dim=1), target)
    slope_x, slope_y = ((torch.cat(_gradient(first), dim=1) + seen[:, 1:]) / 2).split(1, dim=1)
    difference = seen[:, :1] - first
    difference = difference - _local_mean(difference)
    inside = ((target >= 0) & (target <= _last(size, flow.device))).all(dim=-1)
    weight = inside[:, None] / (difference.abs() + _SCALE)
    x, y = weight * slope_x, weight * slope_y
    terms = torch.cat(
        [x * slope_x, x * slope_y, y * slope_y, x * difference, y * difference], dim=1
    )
    xx, xy, yy, xd, yd = _box(functional.avg_pool2d(terms, _POOL, ceil_mode=True), _WINDOW).unbind(
        1
    )
    xx, yy = xx + _RIDGE, yy + _RIDGE
    step = torch.stack([xy * yd - yy * xd, xy * xd - xx * yd], dim=1) / (xx * yy - xy * xy)[:, None]
    step = step * (_LONGEST / step.norm(dim=1, keepdim=True).clamp(min=_LONGEST))
    return (
        flow
        + functional.interpolate(step, scale_factor=_POOL, mode="bilinear")[
            ..., : size[0], : size[1]
        ]
    )


def fill(flow: Displacements, known: Bool[Tensor, "b h w"]) -> Displacements:
    """Displacements where they are known; elsewhere interpolated from those around (pull-push).

    Where nothing is known in an image, they are left as they are.

    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996.
    """
    weight = known[:, None].to(flow)
    pyramid = [(flow * weight, weight)]
    while max(pyramid[-1][1].shape[-2:]) > 1:
        total, share = (functional.avg_pool2d(maps, 2, ceil_mode=True) for maps in pyramid[-1])
        pyramid.append((total, share))
    total, share = pyramid[-1]
    found = total / share.clamp(min=1e-9)
    for total, share in reversed(pyramid[:-1]):
        coarse = functional.interpolate(found, total.shape[-2:], mode="bilinear")
        here = total / share.clamp(min=1e-9)
        found = torch.where(share > 1e-3, share * here + (1 - share) * coarse, coarse)
    some = known.flatten(1).any(dim=1)[:, None, None, None]
    return torch.where(known[:, None] | ~some, flow, found)


def _coarse_to_fine(first: Gray, second: Gray, flow: Displacements) -> Displacements:
    """A step at half the resolution, then one at the whole."""
    half = _halved(flow) / 2
    moved = least_squares_step(_halved(first), _halved(second), half) - half
    size = flow.shape[-2:]
    whole = functional.interpolate(2 * moved, scale_factor=2, mode="bilinear")
    return least_squares_step(first, second, flow + whole[..., : size[0], : size[1]])


def _halved(maps: Float[Tensor, "b c _ _"]) -> Float[Tensor, "b c _ _"]:
    return functional.avg_pool2d(maps, 2, ceil_mode=True)


def _gradient(maps: Gray) -> tuple[Gray, Gray]:
    """Central differences along x and y."""
    padded = functional.pad(maps, [1] * 4, mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return across, down


def _local_mean(maps: Gray) -> Gray:
    block, side = _LIGHT
    mean = _box(functional.avg_pool2d(maps, block, ceil_mode=True), side)
    whole = functional.interpolate(mean, scale_factor=block, mode="bilinear")
    return whole[..., : maps.shape[-2], : maps.shape[-1]]


def _box(maps: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c h w"]:
    """The mean over a square, less at the border."""
    reach = side // 2
    rows = functional.avg_pool2d(maps, (side, 1), 1, (reach, 0), count_include_pad=False)
    return functional.avg_pool2d(rows, (1, side), 1, (0, reach), count_include_pad=False)


def _targets(flow: Displacements) -> Float[Tensor, "b _ _ 2"]:
    height, width = flow.shape[-2:]
    places = grid((height, width), flow.device).view(height, width, 2)
    return places + rearrange(flow, "b xy h w -> b h w xy")


def _last(size: tuple[int, int] | torch.Size, device: torch.device) -> Float[Tensor, "2"]:
    return torch.tensor([size[1] - 1.0, size[0] - 1.0], device=device)


def _sample(
    maps: Float[Tensor, "b c _ _"], places: Float[Tensor, "b _ _ 2"]
) -> Float[Tensor, "b c _ _"]:
    """Values between pixels; beyond the border those of the border."""
    last = _last(maps.shape[-2:], maps.device)
    return functional.grid_sample(
        maps, (2 * places + 1) / (last + 1) - 1, padding_mode="border", align_corners=False
    )

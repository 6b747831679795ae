"""Displacements as colors: the hue says where to, the strength how far."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

_SEGMENTS = (
    # hues from red to yellow to green to cyan to blue to magenta, as many steps as eyes tell apart
    ((255, 0, 0), (255, 255, 0), 15),
    ((255, 255, 0), (0, 255, 0), 6),
    ((0, 255, 0), (0, 255, 255), 4),
    ((0, 255, 255), (0, 0, 255), 11),
    ((0, 0, 255), (255, 0, 255), 13),
    ((255, 0, 255), (255, 0, 0), 6),
)
_UNKNOWN = 255 * 0.35


def wheel() -> Float[Tensor, "55 3"]:
    """The colors, 0 to 255, around the wheel of the Middlebury benchmark, from red on.

    Source: Baker et al., "A database and evaluation methodology for optical flow", IJCV 2011.
    """
    parts = []
    for start, end, steps in _SEGMENTS:
        share = torch.arange(steps)[:, None] / steps
        parts.append(torch.lerp(torch.tensor(start).float(), torch.tensor(end).float(), share))
    return torch.cat(parts)


def draw(flow: Float[Tensor, "2 h w"], largest: float | None = None) -> UInt8[Tensor, "3 h w"]:
    """Displacements in the colors of the wheel: white is rest, a full hue ``largest`` pixels.

    Longer ones are darker. Where a displacement is not finite, the picture is gray.

    Args:
        flow: displacement (x, y) in pixels.
        largest: length of a full hue; by default that which 1 % of the pixels exceed.
    """
    known = flow.isfinite().all(dim=0)
    flow = torch.where(known, flow, 0.0)
    length = flow.norm(dim=0)
    if largest is None:
        largest = float(length[known].quantile(0.99)) if known.any() and known.sum() < 2**24 else 0
        largest = max(largest, 1e-3)
    colors = wheel()
    angle = torch.atan2(-flow[1], -flow[0]) / torch.pi  # -1 to 1
    place = (angle + 1) / 2 * len(colors)
    low, share = place.floor().long() % len(colors), place.frac()[..., None]
    hue = torch.lerp(colors[low], colors[(low + 1) % len(colors)], share)
    radius = (length / largest)[..., None]
    picture = torch.where(radius <= 1, 255 - radius.clamp(max=1) * (255 - hue), 0.75 * hue)
    picture = torch.where(known[..., None], picture, torch.tensor(_UNKNOWN))
    return picture.round().clamp(0, 255).byte().movedim(-1, 0)


def legend(side: int) -> UInt8[Tensor, "3 side side"]:
    """A disc whose color at each place is that of the displacement from the middle to there."""
    line = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    picture = draw(torch.stack([x, y]), 1.0)
    picture[:, torch.hypot(x, y) > 1] = 255
    return picture

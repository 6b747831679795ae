"""A hundred little pictures of objects, drawn by formula: fifty to train with, fifty held out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

Kinds = Literal["train", "held_out"]

NUM_KINDS = 100
SIDE = 64
_SUPERSAMPLING = 4
_RIM = 0.12

_Plane = Float[Tensor, "h w"]

_COLORS = (
    (226, 52, 52),
    (240, 140, 30),
    (245, 220, 60),
    (110, 200, 50),
    (30, 150, 90),
    (60, 210, 220),
    (50, 110, 230),
    (140, 80, 210),
    (235, 110, 190),
    (240, 240, 235),
)

# Each is at most 0 inside of a shape that fits the square |x|, |y| <= 1, y pointing up.
_SHAPES: tuple[Callable[[_Plane, _Plane], _Plane], ...] = (
    lambda x, y: torch.hypot(x, y) - 0.95,
    lambda x, y: x.abs().maximum(y.abs()) - 0.85,
    lambda x, y: x.abs() + y.abs() - 1.0,
    lambda x, y: (2 * x.abs() + y - 1.0).maximum(-y - 0.95),
    lambda x, y: (2 * x.abs() - y - 1.0).maximum(y - 0.95),
    lambda x, y: x.abs().minimum(y.abs()).sub(0.32).maximum(x.abs().maximum(y.abs()) - 0.95),
    lambda x, y: (torch.hypot(x, y) - 0.95).maximum(0.45 - torch.hypot(x, y)),
    lambda x, y: torch.hypot(x, y) - 0.7 - 0.25 * torch.cos(5 * torch.atan2(x, y)),
    lambda x, y: (x.abs() - y.abs() - 0.12).maximum(y.abs() - 0.95),
    lambda x, y: (x.abs() - 0.42).maximum(y.abs() - 0.95),
)

# Where the second color is seen.
_PATTERNS: tuple[Callable[[_Plane, _Plane], Bool[Tensor, "h w"]], ...] = (
    lambda x, y: x > 2,
    lambda x, y: torch.sin(9 * y) > 0.2,
    lambda x, y: (torch.sin(7 * x) * torch.sin(7 * y)) > 0.35,
    lambda x, y: x > 0,
)


def kinds(which: Kinds) -> Int64[Tensor, "50"]:
    """The numbers of the kinds to train with, or of those held out.

    A kind is one of ten shapes in one of ten colors. Every shape and every color occurs in both
    halves, a pair of both in one of them.
    """
    numbers = torch.arange(NUM_KINDS)
    parity = (numbers % 10 + numbers // 10) % 2
    return numbers[parity == (0 if which == "train" else 1)]


def render(kind: int) -> UInt8[Tensor, "4 64 64"]:
    """The picture of a kind: red, green, blue and opacity, with smooth edges."""
    fine = SIDE * _SUPERSAMPLING
    ticks = (torch.arange(fine) + 0.5) * (2 / fine) - 1
    y, x = torch.meshgrid(-ticks, ticks, indexing="ij")
    shape, color = kind % 10, kind // 10
    depth = _SHAPES[shape](x, y)
    second = _PATTERNS[(3 * shape + color) % len(_PATTERNS)](x, y)
    main, other = _COLORS[color], _COLORS[(color + 3 + shape % 4) % len(_COLORS)]
    pixels = torch.where(second, _tint(other), _tint(main))
    shade = 0.75 + 0.25 * ((y - x) / 2 * math.sqrt(2)).clamp(-1, 1)
    shade = shade * torch.where(depth > -_RIM, 0.35, 1.0)
    opacity = (depth <= 0).float()
    layers = torch.cat([pixels * shade * opacity, 255 * opacity[None]])
    shrunk = reduce(layers, "c (h a) (w b) -> c h w", "mean", a=_SUPERSAMPLING, b=_SUPERSAMPLING)
    colors = shrunk[:3] / (shrunk[3:] / 255).clamp(min=1e-6)
    return torch.cat([colors, shrunk[3:]]).round().clamp(0, 255).byte()


def _tint(color: tuple[int, int, int]) -> Float[Tensor, "3 1 1"]:
    return rearrange(torch.tensor(color).float(), "c -> c 1 1")

"""Heat maps of a value per pixel over its frame."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding.plots import canvas

_SMALLEST_WITH_SCALE = 96


def draw(
    frame: UInt8[Tensor, "3 h w"],
    values: Float[Tensor, "h w"],
    *,
    low: float = 0.0,
    high: float = 1.0,
    alpha: float = 0.65,
    color_map: str = "inferno",
) -> UInt8[Tensor, "3 h w"]:
    """The frame in gray with `values` over it in colors, and their scale in the lower right.

    Frames of less than 96 pixels get no scale.

    Args:
        frame: the picture to draw on; it is left as it is.
        values: confidence or any other quantity per pixel; not finite means no color.
        low: the value of the darkest color; lower ones look the same.
        high: the value of the lightest color.
        alpha: weight of the colors in [0, 1].
        color_map: any name that matplotlib knows.
    """
    table = _table(color_map)
    shares = ((values - low) / (high - low)).clamp(0, 1)
    known = values.isfinite()
    heat = table[(shares.nan_to_num() * 255).round().long()].movedim(-1, 0)
    picture = canvas.gray(frame).lerp(heat, alpha * known.float())
    _draw_scale(picture, table, low, high)
    return canvas.finish(picture)


def _table(color_map: str) -> Float[Tensor, "256 3"]:
    import matplotlib

    shares = torch.linspace(0, 1, 256).numpy()
    return torch.from_numpy(matplotlib.colormaps[color_map](shares)[:, :3]).float() * 255


def _draw_scale(
    picture: Float[Tensor, "3 h w"], table: Float[Tensor, "256 3"], low: float, high: float
) -> None:
    """Draw the bar of colors with its two ends written beside it, unless it would hide much."""
    height, width = picture.shape[1:]
    if min(height, width) < _SMALLEST_WITH_SCALE:
        return
    size = max(9.0, min(height, width) / 28)
    bar_width, bar_height = round(width / 6), max(3, round(size * 0.55))
    right, bottom = round(width - 2.4 * size), round(height - 0.8 * size)
    left, top = right - bar_width, bottom - bar_height
    picture[:, top - 1 : bottom + 1, left - 1 : right + 1] = 255
    colors = table[torch.linspace(0, 255, bar_width).long()]
    picture[:, top:bottom, left:right] = colors.T[:, None, :]
    middle = (top + bottom) / 2
    for x, value, anchor in [(left - size / 2, low, "rm"), (right + size / 2, high, "lm")]:
        canvas.text(picture, x, middle, f"{value:.2g}", size, anchor=anchor)

"""Frames with the masks of their objects laid over."""

from __future__ import annotations

from jaxtyping import Bool, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.plots import colors

_LINES_PER_CONTOUR_PIXEL = 240


def overlay(
    frame: UInt8[Tensor, "3 h w"], ids: UInt8[Tensor, "h w"], alpha: float = 0.5
) -> UInt8[Tensor, "3 h w"]:
    """The frame with every object tinted and outlined in a bright shade of its DAVIS color.

    Id 0 is background and stays as it is; `alpha` is the weight of the tint in [0, 1]. The
    outline lies inside the object and is a pixel wide for every 240 lines of the frame.
    """
    width = max(1, round(min(ids.shape) / _LINES_PER_CONTOUR_PIXEL))
    inside, outline = ids > 0, contours(ids, width)
    picture = frame.float()
    picture[:, inside] = picture[:, inside].lerp(colors.bright(ids[inside]).T, alpha)
    picture[:, outline] = colors.bright(ids[outline]).T
    return picture.round().clamp(0, 255).byte()


def contours(ids: UInt8[Tensor, "h w"], width: int = 1) -> Bool[Tensor, "h w"]:
    """Pixels of an object within `width` pixels (in x and y) of something else."""
    values = ids.float()[None, None]
    largest = functional.max_pool2d(values, 2 * width + 1, stride=1, padding=width)
    smallest = -functional.max_pool2d(-values, 2 * width + 1, stride=1, padding=width)
    return (ids > 0) & (largest != smallest)[0, 0]

"""Smooth-edged discs, lines, boxes and text, drawn into a picture in place.

A canvas is a float tensor `(3 h w)` with values 0 to 255; positions are x, y in pixels, the middle
of the top left pixel being (0, 0). What lies outside the canvas is cut off.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WHITE = (255.0, 255.0, 255.0)
BLACK = (0.0, 0.0, 0.0)
_LUMINANCE = (0.299, 0.587, 0.114)

Color = tuple[float, float, float] | Float[Tensor, "3"]


def start(frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """A canvas to draw on with the frame as its ground."""
    return frame.float().clone()


def gray(frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """The frame's luminance in all three channels, 0 to 255: a canvas that sets colors off."""
    weights = torch.tensor(_LUMINANCE)[:, None, None]
    return (weights * frame).sum(0).repeat(3, 1, 1)


def finish(canvas: Float[Tensor, "3 h w"]) -> UInt8[Tensor, "3 h w"]:
    """The canvas as a picture of bytes."""
    return canvas.round().clamp(0, 255).byte()


def disc(
    canvas: Float[Tensor, "3 h w"],
    center: Float[Tensor, 2],
    radius: float,
    color: Color,
    opacity: float = 1.0,
) -> None:
    """Fill a disc."""
    line(canvas, center[None], 2 * radius, color, torch.tensor([opacity]))


def line(
    canvas: Float[Tensor, "3 h w"],
    points: Float[Tensor, "s 2"],
    width: float,
    color: Color,
    opacity: Float[Tensor, " s"],
) -> None:
    """Join points by a line with round ends; a piece is as opaque as the point it leads to.

    Points that are not finite interrupt the line. Pieces do not add up where they overlap.
    """
    starts = torch.cat([points[:1], points[:-1]])
    drawn = points.isfinite().all(-1)
    starts = torch.where(starts.isfinite(), starts, points)[drawn]
    ends, opacity = points[drawn], opacity[drawn]
    corners = torch.cat([starts, ends])
    if len(ends) == 0:
        return
    reach = width / 2 + 1
    left, top = (math.floor(value) for value in (corners.amin(0) - reach).tolist())
    right, bottom = (math.ceil(value) + 1 for value in (corners.amax(0) + reach).tolist())
    left, top = max(left, 0), max(top, 0)
    window = canvas[:, top : max(bottom, 0), left : max(right, 0)]
    if window.numel() == 0:
        return
    distance = _distances(starts, ends, left, top, window.shape[1], window.shape[2])
    coverage = (width / 2 + 0.5 - distance).clamp(0, 1) * opacity[:, None, None]
    _blend(window, coverage.amax(0), color)


def _distances(
    starts: Float[Tensor, "s 2"], ends: Float[Tensor, "s 2"], left: int, top: int, h: int, w: int
) -> Float[Tensor, "s h w"]:
    """Distance of every pixel of a window from every piece of a line, in pixels."""
    x = torch.arange(w)[None, None, :] + left - starts[:, 0, None, None]
    y = torch.arange(h)[None, :, None] + top - starts[:, 1, None, None]
    along_x, along_y = (ends - starts).T[:, :, None, None]
    length = (along_x**2 + along_y**2).clamp(min=1e-12)
    share = ((x * along_x + y * along_y) / length).clamp(0, 1)
    return torch.hypot(x - share * along_x, y - share * along_y)


def box(
    canvas: Float[Tensor, "3 h w"],
    corners: tuple[float, float, float, float],
    width: float,
    color: Color,
) -> None:
    """Outline the box with corners (x0, y0) and (x1, y1)."""
    x0, y0, x1, y1 = corners
    points = torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    line(canvas, points, width, color, torch.ones(5))


def text(
    canvas: Float[Tensor, "3 h w"],
    x: float,
    y: float,
    words: str,
    size: float,
    color: Color = WHITE,
    *,
    edge: Color | None = BLACK,
    anchor: str = "la",
) -> None:
    """Write a line of text at x, y; `anchor` says which of its points lies there, as in Pillow.

    The letters are `size` pixels high, with an edge around them that sets them off a photograph.
    """
    if edge is not None:
        _blend(canvas, _letters(canvas, x, y, words, size, anchor, round(size / 9)), edge)
    _blend(canvas, _letters(canvas, x, y, words, size, anchor, 0), color)


def _letters(
    canvas: Float[Tensor, "3 h w"],
    x: float,
    y: float,
    words: str,
    size: float,
    anchor: str,
    stroke: int,
) -> Float[Tensor, "h w"]:
    """How much of every pixel is ink, in [0, 1]."""
    mask = Image.new("L", (canvas.shape[2], canvas.shape[1]))
    font = ImageFont.load_default(size)
    pen = ImageDraw.Draw(mask)
    pen.text((x, y), words, fill=255, font=font, anchor=anchor, stroke_width=stroke)
    return torch.from_numpy(np.array(mask)).float() / 255


def _blend(window: Float[Tensor, "3 h w"], coverage: Float[Tensor, "h w"], color: Color) -> None:
    window.lerp_(torch.as_tensor(color, dtype=window.dtype)[:, None, None], coverage)

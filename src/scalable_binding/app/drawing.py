"""Strokes, polygons and boxes as masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from scalable_binding.errors import UserError

Number = float | int

Point = tuple[Number, Number]
Mask = Bool[np.ndarray, "h w"]


def stroke(height: int, width: int, points: Sequence[Point], radius: Number) -> Mask:
    """The pixels within ``radius`` of a line through ``points`` (x, y), as a round brush paints.

    Raises:
        UserError: no points, or a radius that is not above 0.
    """
    if not points:
        raise UserError("stroke", expected="at least one point", got="none")
    if not 0 < radius <= max(height, width):
        raise UserError(
            "radius", expected=f"above 0, at most {max(height, width)}", got=str(radius)
        )
    image = Image.new("1", (width, height))
    draw = ImageDraw.Draw(image)
    if len(points) > 1:
        draw.line([tuple(point) for point in points], fill=1, width=max(1, round(2 * radius)))
    for x, y in points:
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    return np.array(image)


def polygon(height: int, width: int, points: Sequence[Point]) -> Mask:
    """The pixels inside a polygon with the corners ``points`` (x, y), its outline included.

    Raises:
        UserError: fewer than three corners.
    """
    if len(points) < 3:
        raise UserError("polygon", expected="at least 3 corners", got=str(len(points)))
    image = Image.new("1", (width, height))
    ImageDraw.Draw(image).polygon([tuple(point) for point in points], fill=1, outline=1)
    return np.array(image)


def box(height: int, width: int, corner: Point, opposite: Point) -> Mask:
    """The pixels of a box between two corners (x, y), both included.

    Raises:
        UserError: the box lies outside the frame.
    """
    (left, right), (top, bottom) = (
        sorted((corner[0], opposite[0])),
        sorted((corner[1], opposite[1])),
    )
    mask = np.zeros((height, width), dtype=bool)
    rows = slice(max(0, round(top)), max(0, round(bottom) + 1))
    columns = slice(max(0, round(left)), max(0, round(right) + 1))
    mask[rows, columns] = True
    if not mask.any():
        raise UserError("box", expected=f"inside the frame of {height} x {width} pixels")
    return mask

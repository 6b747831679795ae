"""Polygon filling: the pixels whose centers lie inside."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float


def fill(
    polygons: Iterable[Float[np.ndarray, "_ 2"]], height: int, width: int
) -> Bool[np.ndarray, "h w"]:
    """The union of polygons, each filled by the even-odd rule.

    Vertices are (x, y) in pixels, (0, 0) the top left corner of the top left pixel, whose center
    is (.5, .5). Parts outside of the frame are cut off.
    """
    mask = np.zeros((height, width), dtype=bool)
    for vertices in polygons:
        _fill_one(mask, vertices)
    return mask


def _fill_one(mask: Bool[np.ndarray, "h w"], vertices: Float[np.ndarray, "n 2"]) -> None:
    height, width = mask.shape
    x0, y0 = vertices.T
    x1, y1 = np.roll(vertices, -1, axis=0).T
    top = max(0, int(np.floor(y0.min())))
    for row in range(top, min(height, int(np.ceil(y0.max())))):
        center = row + 0.5
        crossed = (y0 <= center) != (y1 <= center)
        share = (center - y0[crossed]) / (y1[crossed] - y0[crossed])
        places = np.sort(x0[crossed] + share * (x1[crossed] - x0[crossed]))
        edges = np.clip(np.ceil(places - 0.5), 0, width).astype(int)
        for left, right in edges.reshape(-1, 2):
            mask[row, left:right] = True

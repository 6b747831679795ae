"""Frames with the boxes of objects, dashed where these are hidden."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from scalable_binding.plots import canvas, colors

_LINES_PER_WIDTH_PIXEL = 200
_DASH = 3.0
"""Length of a dash and of the gap after it, in widths of the line."""


def draw(
    frame: UInt8[Tensor, "3 h w"],
    boxes: Float[Tensor, "o 4"],
    visible: Bool[Tensor, " o"],
    ids: Int[Tensor, " o"] | None = None,
    confidence: Float[Tensor, " o"] | None = None,
    truth: Float[Tensor, "o 4"] | None = None,
) -> UInt8[Tensor, "3 h w"]:
    """The frame with every box in its object's color, a cross in the middle of hidden ones.

    Args:
        frame: the picture to draw on; it is left as it is.
        boxes: x0, y0, x1, y1 in pixels; boxes that are not finite are not drawn.
        visible: whether an object is to be seen; the boxes of others are dashed.
        ids: which color each has; 1 to o if not given.
        confidence: in [0, 1]; the less, the fainter the box.
        truth: boxes to draw thinly in white beneath.
    """
    if ids is None:
        ids = torch.arange(1, len(boxes) + 1)
    if confidence is None:
        confidence = torch.ones(len(boxes))
    width = max(1.0, min(frame.shape[1:]) / _LINES_PER_WIDTH_PIXEL)
    picture = canvas.start(frame)
    for box in truth if truth is not None else ():
        _outline(picture, box.tolist(), width / 2, canvas.WHITE, dashed=False, opacity=0.7)
    opacities = (0.4 + 0.6 * confidence.clamp(0, 1)).tolist()
    for box, seen, ink, opacity in zip(
        boxes, visible.tolist(), colors.bright(ids), opacities, strict=True
    ):
        if not bool(box.isfinite().all()):
            continue
        corners = box.tolist()
        _outline(picture, corners, 2.2 * width, canvas.BLACK, dashed=not seen, opacity=0.5)
        _outline(picture, corners, width, ink, dashed=not seen, opacity=opacity)
        if not seen:
            _cross(picture, corners, width, ink, opacity)
    return canvas.finish(picture)


def _outline(
    picture: Float[Tensor, "3 h w"],
    corners: Sequence[float],
    width: float,
    color: canvas.Color,
    *,
    dashed: bool,
    opacity: float,
) -> None:
    x0, y0, x1, y1 = corners
    ring = torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])
    points = _dashes(ring, _DASH * max(width, 1.0)) if dashed else ring
    canvas.line(picture, points, width, color, torch.full((len(points),), opacity))


def _dashes(ring: Float[Tensor, "c 2"], length: float) -> Float[Tensor, "s 2"]:
    """Ends of dashes along a line, with points that are not finite between them as gaps."""
    points = []
    gap = torch.full((2,), torch.nan)
    for start, end in pairwise(ring.unbind()):
        side = float(torch.linalg.vector_norm(end - start))
        num = max(1, round(side / (2 * length)))
        for dash in range(num):
            begin, stop = (dash + 0.25) / num, (dash + 0.75) / num
            points += [start + begin * (end - start), start + stop * (end - start), gap]
    return torch.stack(points)


def _cross(
    picture: Float[Tensor, "3 h w"],
    corners: Sequence[float],
    width: float,
    color: canvas.Color,
    opacity: float,
) -> None:
    x, y = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
    arm = 2.5 * width
    points = torch.tensor(
        [[x - arm, y], [x + arm, y], [torch.nan, torch.nan], [x, y - arm], [x, y + arm]]
    )
    canvas.line(picture, points, width, color, torch.full((5,), opacity))

"""Frames with key points and the paths along which they came."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scalable_binding.plots import canvas, colors

_LINES_PER_RADIUS_PIXEL = 96
_FAINTEST = 0.25


def draw(
    frame: UInt8[Tensor, "3 h w"],
    points: Float[Tensor, "k 2"],
    ids: Int[Tensor, " k"] | None = None,
    confidence: Float[Tensor, " k"] | None = None,
    trail: Float[Tensor, "s k 2"] | None = None,
    radius: float | None = None,
) -> UInt8[Tensor, "3 h w"]:
    """The frame with a colored dot, ringed in white, at every point.

    Args:
        frame: the picture to draw on; it is left as it is.
        points: x, y in pixels; points that are not finite are not drawn.
        ids: which color each has; 1 to k if not given.
        confidence: in [0, 1]; the less, the fainter the dot.
        trail: earlier positions, oldest first, drawn as lines that fade into the past.
        radius: of a dot in pixels; by default one for every 96 lines of the frame, at least 2.
    """
    if ids is None:
        ids = torch.arange(1, len(points) + 1)
    if confidence is None:
        confidence = torch.ones(len(points))
    if radius is None:
        radius = max(2.0, min(frame.shape[1:]) / _LINES_PER_RADIUS_PIXEL)
    picture = canvas.start(frame)
    inks = colors.bright(ids)
    if trail is not None:
        paths = torch.cat([trail, points[None]]).float()
        fading = torch.linspace(0, 0.9, len(paths))
        for path, ink in zip(paths.unbind(1), inks, strict=True):
            canvas.line(picture, path, 0.8 * radius, ink, fading)
    opacities = (_FAINTEST + (1 - _FAINTEST) * confidence.clamp(0, 1)).tolist()
    for point, ink, opacity in zip(points.float(), inks, opacities, strict=True):
        canvas.disc(picture, point, 1.5 * radius, canvas.BLACK, 0.35 * opacity)
        canvas.disc(picture, point, 1.35 * radius, canvas.WHITE, opacity)
        canvas.disc(picture, point, radius, ink, opacity)
    return canvas.finish(picture)

"""Decoded frames as pixels: turned and mirrored as the video's display matrix says, in RGB."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import torch
from av.video.frame import VideoFrame
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scalable_binding.data.frames import images

_ONE = 1 << 16
"""1 in the fixed-point numbers of a display matrix."""

_UPRIGHT = (1.0, 0.0, 0.0, 1.0)


def pixels(frame: VideoFrame, *, size: int | None = None) -> UInt8[Tensor, "3 h w"]:
    """A decoded frame's RGB pixels, turned and mirrored as the video's display matrix says.

    With ``size`` the short side is resized to that many pixels, smoothly and without aliasing.
    Where the frame has an alpha channel it is shown on white. In memory the colors of a pixel lie
    together.
    """
    height, width = images.short_side(frame.height, frame.width, size)
    kind = "rgba" if _has_alpha(frame) else "rgb24"
    array = frame.to_ndarray(format=kind, height=height, width=width, interpolation="BILINEAR")
    if kind == "rgba":
        array = np.asarray(images.on_white(Image.fromarray(array)))
    shown = np.ascontiguousarray(_displayed(array, display_matrix(frame)))
    return torch.from_numpy(shown).permute(2, 0, 1)


def _has_alpha(frame: VideoFrame) -> bool:
    """Whether the pixels of a frame's format have an alpha; a palette's colors may have one."""
    return frame.format.name == "pal8" or frame.format.name.startswith(
        ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "vuya", "ayuv")
    )


def display_matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """``(a, b, c, d)``: a pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift.

    (1, 0, 0, 1) where the file has none, or none that can be inverted.
    """
    found: Any = frame.side_data.get("DISPLAYMATRIX")  # its stubs do not say that it is a buffer
    data = b"" if found is None else bytes(found)
    if len(data) != 36:
        return _UPRIGHT
    a, b, _, c, d = struct.unpack("=5i", data[:20])
    if a * d == b * c:
        return _UPRIGHT
    return a / _ONE, b / _ONE, c / _ONE, d / _ONE


def _displayed(array: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """The picture as ffmpeg shows it; a negative determinant of the matrix is a mirror."""
    a, b, c, d = matrix
    angle = math.degrees(math.atan2(b / math.hypot(b, d), a / math.hypot(a, c)))
    if abs(angle - 90 * round(angle / 90)) > 1:  # no quarter turn: turned within its own borders
        picture = Image.fromarray(array)
        return np.asarray(picture.rotate(-angle, Image.Resampling.BILINEAR))
    if abs(a) < abs(b):
        array, across, down = array.swapaxes(0, 1), c, b
    else:
        across, down = a, d
    return array[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]

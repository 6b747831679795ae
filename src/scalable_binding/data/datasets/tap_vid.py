"""TAP-Vid (Doersch et al., NeurIPS 2022): videos with tracks of points, in its files or as .npz.

TAP-Vid comes as Python pickles, which can run any program when they are opened in the usual way.
Here nothing of a pickle is called: names in it are looked up in a table of stand-ins for NumPy's
arrays, plain data is rebuilt, and any other name is refused. A file holds a dict of names (or, in
``tapvid_rgb_stacking.pkl``, a list) of ``{"video": uint8 (t h w 3) or t JPEG files, "points": (n t
2), x and y as shares of width and height, "occluded": bool (n t)}``. An ``.npz`` of these three
arrays is one video; a folder of them is a data set.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from PIL import Image
from torch import Tensor

from scalable_binding import files
from scalable_binding.data import arrays
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError

MAX_BYTES = 2**33
"""Larger files (8 GiB) are refused."""

_NAMES = ("video", "points", "occluded")


@dataclass(frozen=True)
class TapVideo:
    """A video and the truth about some points of it.

    Attributes:
        name: of the video.
        frames: RGB.
        points: x, y of each point in each frame, as shares of width and height: 0 is the left side
            of the leftmost pixel, 1 the right side of the rightmost.
        visible: where they are seen.
    """

    name: str
    frames: UInt8[Tensor, "t 3 h w"]
    points: Float32[Tensor, "n t 2"]
    visible: Bool[Tensor, "n t"]


def read(path: Path) -> list[Callable[[], TapVideo]]:
    """A loader for each video of a ``.pkl``, of an ``.npz``, or of a folder of ``.npz`` files.

    Raises:
        UserError: no such file, another form, or a pickle that names anything but arrays; from a
            loader, arrays of other shapes.
    """
    if path.is_dir():
        found = sorted(path.glob("*.npz"))
        if not found:
            raise UserError(f"TAP-Vid {path}", expected=".npz files in it", got="none")
        return [_from_npz(one) for one in found]
    if path.suffix == ".npz":
        files.check_regular(path)
        return [_from_npz(path)]
    content = _unpickle(path)
    videos = content.items() if isinstance(content, dict) else enumerate(content)
    return [_from_mapping(path, str(name), video) for name, video in videos]


def _from_npz(path: Path) -> Callable[[], TapVideo]:
    return lambda: _checked(path, path.stem, arrays.read_npz(path, _NAMES))


def _from_mapping(path: Path, name: str, video: Any) -> Callable[[], TapVideo]:
    return lambda: _checked(path, name, video)


def _checked(path: Path, name: str, video: Any) -> TapVideo:
    """The video, once its arrays are found to belong together."""
    if not isinstance(video, Mapping) or not set(_NAMES) <= video.keys():
        raise UserError(f"{path}, {name}", expected=f"arrays {', '.join(_NAMES)}", got="others")
    points, occluded = np.asarray(video["points"]), np.asarray(video["occluded"])
    frames = video["video"]
    if isinstance(frames, list | tuple):
        frames = _decoded(path, frames)
    frames = np.asarray(frames)
    good = (
        frames.dtype == np.uint8
        and frames.ndim == 4
        and frames.shape[-1] == 3
        and points.dtype.kind == "f"
        and occluded.dtype == np.bool_
        and points.shape == (*occluded.shape, 2)
        and occluded.shape[1:] == frames.shape[:1]
    )
    if not good:
        got = f"{frames.shape} {frames.dtype}, {points.shape}, {occluded.shape}"
        expected = "video uint8 (t, h, w, 3), points (n, t, 2), occluded bool (n, t)"
        raise UserError(f"{path}, {name}", expected=expected, got=got)
    return TapVideo(
        name,
        torch.from_numpy(frames.copy()).movedim(-1, 1),
        torch.from_numpy(points.astype(np.float32)),
        torch.from_numpy(~occluded),
    )


def _decoded(path: Path, frames: Iterable[Any]) -> np.ndarray:
    """Frames that are JPEG files."""
    pictures = []
    for number, content in enumerate(frames):
        if not isinstance(content, bytes):
            got = type(content).__name__
            raise UserError(f"{path}, frame {number}", expected="a JPEG file", got=got)
        pictures.append(_picture(f"{path}, frame {number}", content))
    if len({picture.shape for picture in pictures}) != 1:
        raise UserError(f"{path}", expected="frames of one size", got="several or none")
    return np.stack(pictures)


def _picture(name: str, content: bytes) -> np.ndarray:
    """The pixels (h w 3) of a JPEG file."""
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            if image.width * image.height > images.MAX_PIXELS:
                raise UserError(name, expected=f"at most {images.MAX_PIXELS} pixels", got="more")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} cannot be read ({error})") from error


def _unpickle(path: Path) -> Any:
    try:
        with files.open_regular(path) as file:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path}", expected=f"at most {MAX_BYTES} bytes", got="more")
            found = _ArrayUnpickler(file).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"{path} cannot be read as TAP-Vid's pickle ({error})") from error
    content = _as_arrays(found)
    if not isinstance(content, dict | list) or not content:
        raise UserError(f"{path}", expected="a dict or list of videos", got=type(found).__name__)
    return content


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain data and arrays; every other name ends in an error, so that nothing is called."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a name."""
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        raise UserError(f"the file names {module}.{name}", expected="nothing but NumPy arrays")


class _Type:
    """In the place of ``numpy.dtype``."""

    def __init__(self, name: str, *_: Any) -> None:
        self.type = np.dtype(name)
        if self.type.kind not in "biuf":
            raise UserError(f"an array of type {name}", expected="numbers")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", "<"):
            self.type = self.type.newbyteorder(state[1])


class _Array:
    """In the place of ``numpy.ndarray``."""

    value: np.ndarray

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Type, bool, bytes]) -> None:
        _, shape, dtype, fortran, content = state
        self.fill(content, dtype, shape, "F" if fortran else "C")

    def fill(
        self, content: bytes | bytearray, dtype: _Type, shape: tuple[int, ...], order: Any
    ) -> None:
        """Take over numbers, once there are as many as announced."""
        if len(content) != math.prod(shape) * dtype.type.itemsize:
            raise UserError("an array of the file", expected=f"{shape} of {dtype.type}")
        value = np.frombuffer(content, dtype.type)
        self.value = value.reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(*_: Any) -> _Array:
    """In the place of NumPy's function of this name."""
    return _Array()


def _from_buffer(
    content: bytes | bytearray, dtype: _Type, shape: tuple[int, ...], order: str
) -> _Array:
    """In the place of NumPy's ``_frombuffer``, of pickles of protocol 5."""
    array = _Array()
    array.fill(content, dtype, shape, order)
    return array


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """In the place of ``_codecs.encode``, by which old pickles write bytes."""
    if encoding != "latin1":
        raise UserError(f"bytes in {encoding}", expected="latin1")
    return text.encode("latin1")


_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
}


def _as_arrays(content: Any) -> Any:
    """The content of a file, two levels deep, its stand-ins replaced by what they hold."""
    if isinstance(content, dict):
        return {name: _as_array_fields(video) for name, video in content.items()}
    if isinstance(content, list | tuple):
        return [_as_array_fields(video) for video in content]
    return content


def _as_array_fields(video: Any) -> Any:
    if not isinstance(video, dict):
        return video
    return {
        name: getattr(value, "value", None) if isinstance(value, _Array) else value
        for name, value in video.items()
    }

"""Optical flow in files: Middlebury's .flo, PFM, KITTI's 16-bit PNG, and NumPy's .npz.

A flow map is the displacement (x, y) of every pixel, in pixels, and where it is known. Sizes that
a header claims are checked before anything is read by them.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scalable_binding import atomic, files
from scalable_binding.data.arrays import read_npz
from scalable_binding.data.frames.images import check_size
from scalable_binding.errors import UserError

MAX_BYTES = 2**30
"""Larger files (1 GiB) are refused before they are read."""

UNKNOWN = 1e9
"""A displacement beyond it is not known (.flo); 1e10 is written."""

KITTI_REACH = 512.0
"""Displacements from this on, in pixels, do not fit into KITTI's PNG."""

_MAGIC = b"PIEH"
_PNG = b"\x89PNG\r\n\x1a\n"
_KITTI_SCALE, _KITTI_ZERO = 64.0, 2**15
_PFM_HEADER = re.compile(rb"(PF|Pf)\s+(\d{1,9})\s+(\d{1,9})\s+(-?[0-9.eE+-]{1,20})[\r ]*\n")


class FlowMap(NamedTuple):
    """Displacement (x, y) of every pixel, in pixels, and where it is known (elsewhere 0)."""

    flow: Float[Tensor, "2 h w"]
    known: Bool[Tensor, "h w"]


def read(path: str | Path) -> FlowMap:
    """The flow map in a file: .flo, .pfm, .png (KITTI's) or .npz.

    Raises:
        UserError: the file is missing, of another kind, cut off, damaged or too large.
    """
    path = Path(path)
    reader = _of_suffix(path, _READERS)
    return reader(path) if reader is _read_npz else reader(path, files.read_bytes(path, MAX_BYTES))


def write(
    path: str | Path, flow: Float[Tensor, "2 h w"], known: Bool[Tensor, "h w"] | None = None
) -> None:
    """Writes a flow map as its name ends, whole or not at all.

    A .png keeps 1/64 pixel and displacements below 512 pixels; larger ones are written as unknown.

    Args:
        path: a name that ends in .flo, .pfm, .png or .npz.
        flow: displacement (x, y) in pixels.
        known: where it is known; by default where it is finite.

    Raises:
        UserError: the name ends otherwise, or the file cannot be written.
    """
    path = Path(path)
    writer = _of_suffix(path, _WRITERS)
    finite = flow.isfinite().all(dim=0)
    known = finite if known is None else known & finite
    pixels = torch.where(known, flow, 0.0).movedim(0, -1).contiguous().cpu().float().numpy()
    content = writer(pixels, known.cpu().numpy())
    with atomic.replacing(path) as temporary:
        temporary.write_bytes(content)


def _of_suffix(path: Path, kinds: dict[str, Callable]) -> Callable:
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"flow {path}", expected=f"a name that ends in {', '.join(kinds)}")
    return kind


def _read_flo(path: Path, content: bytes) -> FlowMap:
    if content[:4] != _MAGIC:
        raise UserError(
            f"{path} is no .flo file", expected="PIEH at its start", got=repr(content[:4])
        )
    if len(content) < 12:
        raise UserError(f"{path} is cut off", expected="12 bytes at least", got=str(len(content)))
    width, height = struct.unpack("<ii", content[4:12])
    pixels = _floats(path, content[12:], height, width, 2, "<f4")
    known = (np.abs(pixels) < UNKNOWN).all(axis=-1)
    return _map(pixels, known)


def _write_flo(pixels: np.ndarray, known: np.ndarray) -> bytes:
    height, width = known.shape
    marked = np.where(known[..., None], pixels, 1e10).astype("<f4")
    return _MAGIC + struct.pack("<ii", width, height) + marked.tobytes()


def _read_pfm(path: Path, content: bytes) -> FlowMap:
    header = _PFM_HEADER.match(content[:256])
    if header is None:
        raise UserError(
            f"{path} is no PFM file", expected="PF, width, height and scale at its start"
        )
    if header[1] != b"PF":
        raise UserError(f"{path}", expected="a PFM file of three channels (PF)", got="one (Pf)")
    width, height = int(header[2]), int(header[3])
    order = "<f4" if header[4].startswith(b"-") else ">f4"
    pixels = _floats(path, content[header.end() :], height, width, 3, order)[::-1]
    known = np.isfinite(pixels[..., :2]).all(axis=-1) & (np.abs(pixels[..., :2]) < UNKNOWN).all(
        axis=-1
    )
    return _map(pixels[..., :2], known)


def _write_pfm(pixels: np.ndarray, known: np.ndarray) -> bytes:
    height, width = known.shape
    marked = np.where(known[..., None], pixels, np.nan)
    whole = np.concatenate([marked, np.zeros((height, width, 1))], axis=-1)
    return f"PF\n{width} {height}\n-1.0\n".encode() + whole[::-1].astype("<f4").tobytes()


def _read_kitti(path: Path, content: bytes) -> FlowMap:
    if content[:8] != _PNG or content[12:16] != b"IHDR" or len(content) < 33:
        raise UserError(f"{path} is no PNG file")
    width, height, depth, color = struct.unpack(">IIBB", content[16:26])
    check_size(path, height, width)
    if (depth, color) != (16, 2):
        raise UserError(
            f"{path} is no flow of KITTI's",
            expected="a PNG of three channels of 16 bits",
            got=f"{depth} bits, color type {color}",
        )
    with _decoding(path), av.open(io.BytesIO(content), mode="r", format="png_pipe") as container:
        frame = next(container.decode(video=0))
        levels = frame.to_ndarray(format="rgb48le").astype(np.float32)
    if levels.shape != (height, width, 3):
        raise UserError(f"{path} is damaged", expected=f"{height} x {width} pixels")
    return _map((levels[..., :2] - _KITTI_ZERO) / _KITTI_SCALE, levels[..., 2] > 0)


def _write_kitti(pixels: np.ndarray, known: np.ndarray) -> bytes:
    fits = known & (np.abs(pixels) < KITTI_REACH).all(axis=-1)
    levels = np.rint(pixels * _KITTI_SCALE + _KITTI_ZERO).clip(0, 2**16 - 1)
    whole = np.concatenate([levels, np.ones_like(levels[..., :1])], axis=-1)
    rows = np.where(fits[..., None], whole, 0).astype(">u2")
    height, width = known.shape
    lines = np.zeros((height, 1 + 6 * width), dtype=np.uint8)  # a byte a line: not filtered
    lines[:, 1:] = rows.reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return _PNG + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _read_npz(path: Path) -> FlowMap:
    arrays = read_npz(path, ("flow", "known"), MAX_BYTES)
    if "flow" not in arrays:
        raise UserError(f"{path}", expected="an array named flow", got="none")
    if arrays["flow"].dtype.kind not in "fiu":
        raise UserError(f"{path}: flow", expected="numbers", got=str(arrays["flow"].dtype))
    pixels = arrays["flow"].astype(np.float32)
    if pixels.ndim != 3 or pixels.shape[-1] != 2:
        raise UserError(f"{path}: flow", expected="shape (h, w, 2)", got=str(pixels.shape))
    check_size(path, *pixels.shape[:2])
    known = arrays.get("known")
    if known is None:
        known = np.asarray(np.isfinite(pixels).all(axis=-1))
    if known.shape != pixels.shape[:2] or known.dtype != np.bool_:
        expected = f"booleans of shape {pixels.shape[:2]}"
        raise UserError(f"{path}: known", expected=expected, got=f"{known.dtype} {known.shape}")
    return _map(pixels, known)


def _write_npz(pixels: np.ndarray, known: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, flow=pixels, known=known)
    return buffer.getvalue()


def _floats(
    path: Path, content: bytes, height: int, width: int, channels: int, order: str
) -> np.ndarray:
    """Numbers of a picture whose header claims this size."""
    if min(height, width) < 1:
        got = f"{height} x {width}"
        raise UserError(f"{path}: picture size", expected="at least 1 x 1", got=got)
    check_size(path, height, width)
    expected = 4 * channels * height * width
    if len(content) != expected:
        what = "is cut off" if len(content) < expected else "has something behind its end"
        raise UserError(
            f"{path} {what}", expected=f"{expected} bytes of pixels", got=str(len(content))
        )
    return np.frombuffer(content, dtype=order).reshape(height, width, channels).astype(np.float32)


def _map(pixels: np.ndarray, known: np.ndarray) -> FlowMap:
    found = torch.from_numpy(np.where(known[..., None], pixels, 0).astype(np.float32))
    return FlowMap(found.movedim(-1, 0).contiguous(), torch.from_numpy(known.copy()))


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, ValueError, StopIteration, OSError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error})") from error


_READERS: dict[str, Callable] = {
    ".flo": _read_flo,
    ".pfm": _read_pfm,
    ".png": _read_kitti,
    ".npz": _read_npz,
}
_WRITERS = {".flo": _write_flo, ".pfm": _write_pfm, ".png": _write_kitti, ".npz": _write_npz}

"""Arrays of NumPy's .npz archives from strangers: bounded, and without pickles."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scalable_binding import files
from scalable_binding.errors import UserError

MAX_BYTES = 2**30
"""Archives whose arrays take more (1 GiB), unpacked, are refused by default."""

_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_BROKEN = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    MemoryError,
    OSError,
    EOFError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,  # NumPy reads headers with Python's own tokenizer
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and NumPy raise in an archive that is not what it should be."""


def read_npz(path: Path, names: Sequence[str], most: int = MAX_BYTES) -> dict[str, np.ndarray]:
    """The arrays of an archive that have one of these names.

    What an archive announces is checked before memory is taken for it.

    Raises:
        UserError: the file cannot be read, or is no archive of arrays; an array is encrypted,
            packed in another way than NumPy does, holds Python objects, or is larger than allowed.
    """
    try:
        with files.open_regular(path) as file, zipfile.ZipFile(file) as archive:
            entries = {
                entry.filename.removesuffix(".npy"): entry
                for entry in archive.infolist()
                if entry.filename.removesuffix(".npy") in names
            }
            total = sum(entry.file_size for entry in entries.values())
            if total > most:
                raise UserError(f"{path}", expected=f"at most {most} bytes", got=str(total))
            return {name: _read(path, archive, entry) for name, entry in entries.items()}
    except UserError:
        raise
    except _BROKEN as error:
        raise UserError(f"{path} cannot be read as .npz ({error})") from error


def _read(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    if entry.flag_bits & _ENCRYPTED:
        raise UserError(f"{path}: {entry.filename} is encrypted", fix="save it again without")
    if entry.compress_type not in _METHODS:
        raise UserError(
            f"{path}: {entry.filename}",
            expected="an array that is stored or deflated",
            got=f"compression {entry.compress_type}",
        )
    with archive.open(entry) as member:
        shape, fortran, dtype = _header(member)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        size = math.prod(shape) * dtype.itemsize
        if size != entry.file_size - member.tell():
            expected = f"{entry.file_size - member.tell()} bytes, as it announces"
            raise UserError(f"{path}: {entry.filename}", expected=expected, got=f"{size}")
        content = member.read()
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of an array from the header of its .npy file."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(member)
    raise ValueError(f"version {version} of .npy is not read")

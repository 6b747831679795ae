"""Arrays of numbers in MATLAB's files of version 5, as public annotations come.

A file is a header of 128 bytes and then elements: a tag of type and length, and a payload padded to
eight bytes. A matrix is an element whose payload is a list of elements: flags, shape, name, values.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scalable_binding import files
from scalable_binding.errors import UserError

MAX_BYTES = 2**28
"""Larger files and matrices (256 MiB) are refused."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800


def read(path: Path, name: str) -> np.ndarray:
    """The array of numbers that a file holds under a name, as float64 with MATLAB's shape.

    Raises:
        UserError: the file is missing, damaged or of another version, or has no such array.
    """
    content = files.read_bytes(path, MAX_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or content[124:126] not in (b"\x00\x01", b"\x01\x00"):
        raise UserError(f"{path}", expected="a MATLAB file of version 5 (save it with '-v7')")
    try:
        for kind, payload in _elements(content[_HEADER:], order):
            if kind == _MATRIX and (array := _matrix(payload, order, name)) is not None:
                return array
    except (struct.error, zlib.error, ValueError, StopIteration) as error:
        raise UserError(f"{path}: damaged ({error or 'cut short'})") from error
    raise UserError(f"{path}", expected=f"an array of numbers {name!r}", got="none")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The elements in turn, compressed ones unpacked; a short one has its tag in four bytes."""
    place = 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(f"{order}II", content, place)
        start = place + 8
        if kind >> 16:
            kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
        payload = content[start : start + length]
        if len(payload) < length:
            raise ValueError("cut short")
        if kind == _COMPRESSED:
            yield from _elements(_inflate(payload), order)
            place = start + length
        else:
            yield kind, payload
            place = start + length + -(start + length) % 8


def _inflate(payload: bytes) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(payload, MAX_BYTES)
    if not inflater.eof:
        raise ValueError("cut short, or too large")
    return content


def _matrix(payload: bytes, order: str, wanted: str) -> np.ndarray | None:
    """The values of a matrix if its name is the one wanted and it holds real numbers."""
    parts = _elements(payload, order)
    flags = struct.unpack_from(f"{order}I", next(parts)[1])[0]
    shape = np.frombuffer(next(parts)[1], f"{order}i4")
    name = next(parts)[1].decode("latin-1")
    if name != wanted or flags & 0xFF not in _NUMERIC_CLASSES or flags & _COMPLEX:
        return None
    kind, values = next(parts)
    if kind not in _NUMBERS:
        raise ValueError(f"values of unknown type {kind}")
    numbers = np.frombuffer(values, f"{order}{_NUMBERS[kind]}").astype(np.float64)
    return numbers.reshape(tuple(shape), order="F")

"""Run-length encoding (RLE) of binary masks, as COCO has it: uncompressed, and compressed to text.

Runs go down the columns, from the leftmost; the first is of background and may be empty. The
compressed form writes each run, from the fourth on less the run two before, in groups of five
bits, the lowest first, as characters from "0" on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from scalable_binding.errors import UserError

MAX_PIXELS = 2**26
"""Pixels of a mask, at most (8192 x 8192)."""

_GROUPS = 7
"""Groups of five bits that a run of a mask of ``MAX_PIXELS`` can need, and one more."""


@dataclass(frozen=True)
class Rle:
    """A binary mask ``(height, width)`` in COCO's compressed run-length encoding."""

    height: int
    width: int
    text: bytes


def encode(mask: Bool[np.ndarray, "h w"]) -> Rle:
    """The run-length encoding of a mask."""
    return from_counts(runs(mask.ravel(order="F")), *mask.shape)


def decode(rle: Rle) -> Bool[np.ndarray, "h w"]:
    """The mask of a run-length encoding.

    Raises:
        UserError: the text is no run-length encoding, or of another number of pixels.
    """
    return fill(counts(rle), rle.width, rle.height).T


def counts(rle: Rle) -> np.ndarray:
    """The lengths of the runs, background first, int64.

    Raises:
        UserError: as :func:`decode`.
    """
    codes = np.frombuffer(rle.text, np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise _malformed("characters from 0 to o, complete")
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    places = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    if places.max() >= _GROUPS:
        raise _malformed(f"runs of at most {MAX_PIXELS} pixels")
    values = np.add.reduceat((codes & 31) << (5 * places), first)
    values -= np.where(codes[last] & 16, 1 << (5 * (places[last] + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    _check(values, rle.height, rle.width)
    return values


def from_counts(lengths: Sequence[Any] | np.ndarray, height: int, width: int) -> Rle:
    """The encoding of a mask whose runs have these lengths.

    Raises:
        UserError: a length is no whole number from 0, or they do not add up to the mask's pixels.
    """
    try:
        given = np.asarray(lengths)
        values = given.astype(np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _malformed("a list of whole numbers") from error
    if values.ndim != 1 or given.dtype.kind not in "iu" or len(values) == 0:
        raise _malformed("a list of whole numbers")
    _check(values, height, width)
    steps = values.copy()
    steps[3:] -= values[1:-2]
    groups = (steps[:, None] >> (5 * np.arange(_GROUPS))) & 31
    bounds = 1 << (5 * np.arange(1, _GROUPS + 1) - 1)
    fits = (-bounds <= steps[:, None]) & (steps[:, None] < bounds)
    needed = fits.argmax(axis=1) + 1
    place = np.arange(_GROUPS)
    groups += 32 * (place < needed[:, None] - 1)
    return Rle(height, width, (groups[place < needed[:, None]] + 48).astype(np.uint8).tobytes())


def runs(flat: Bool[np.ndarray, " n"]) -> np.ndarray:
    """The lengths of runs of equal values, of False first."""
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0], changes, [len(flat)]])
    lengths = np.diff(edges)
    return np.concatenate([[0], lengths]) if len(flat) and flat[0] else lengths


def fill(lengths: np.ndarray, rows: int, columns: int) -> Bool[np.ndarray, "rows columns"]:
    """The array that runs fill row by row, False first."""
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(rows, columns)


def _check(lengths: np.ndarray, height: int, width: int) -> None:
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        got = f"{height} x {width}"
        raise UserError("mask in run-length encoding", expected="at most 8192 x 8192", got=got)
    if lengths.min() < 0 or lengths.max() > MAX_PIXELS or int(lengths.sum()) != height * width:
        raise _malformed(f"runs that add up to {height} x {width} pixels")


def _malformed(expected: str) -> UserError:
    return UserError("mask in run-length encoding", expected=expected)

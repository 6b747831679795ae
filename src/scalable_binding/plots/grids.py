"""Many pictures in one: grids of samples, and tables whose rows and columns have names."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.plots import canvas

_GROUND = 255
_TEXT = 11.0


def enlarge(pictures: UInt8[Tensor, "*n 3 h w"], at_least: int) -> UInt8[Tensor, "*n 3 H W"]:
    """The pictures as many whole times larger as their short side needs to be ``at_least``."""
    times = max(1, math.ceil(at_least / min(pictures.shape[-2:])))
    return repeat(pictures, "... h w -> ... (h i) (w j)", i=times, j=times)


def shrink(pictures: UInt8[Tensor, "*n 3 h w"], at_most: int) -> UInt8[Tensor, "*n 3 H W"]:
    """The pictures as many whole times smaller as their long side needs to be ``at_most``."""
    times = math.ceil(max(pictures.shape[-2:]) / at_most)
    if times == 1:
        return pictures
    flat = pictures.reshape(-1, *pictures.shape[-3:]).float()
    small = functional.avg_pool2d(flat, times, ceil_mode=True).round().byte()
    return small.view(*pictures.shape[:-2], *small.shape[-2:])


def grid(
    pictures: UInt8[Tensor, "n 3 h w"], *, columns: int | None = None, gap: int = 2
) -> UInt8[Tensor, "3 height width"]:
    """The pictures row by row, as nearly square a grid as may be unless ``columns`` says.

    Raises:
        UserError: there are no pictures.
    """
    if len(pictures) == 0:
        raise UserError("a grid of pictures", expected="at least one", got="none")
    columns = columns or math.ceil(math.sqrt(len(pictures)))
    missing = -len(pictures) % columns
    framed = functional.pad(pictures, (0, gap, 0, gap, 0, 0, 0, missing), value=_GROUND)
    framed[len(pictures) :] = _GROUND
    laid = rearrange(framed, "(r k) c h w -> c (r h) (k w)", k=columns)
    return functional.pad(laid, (gap, 0, gap, 0), value=_GROUND)


def table(
    pictures: UInt8[Tensor, "r k 3 h w"],
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    gap: int = 4,
) -> UInt8[Tensor, "3 height width"]:
    """The pictures in rows and columns, with a heading for each column and a name beside each row.

    Raises:
        UserError: there are not as many names as rows or columns.
    """
    num_rows, num_columns, _, height, width = pictures.shape
    for names, count, what in ((rows, num_rows, "rows"), (columns, num_columns, "columns")):
        if names and len(names) != count:
            raise UserError(f"names of {what}", expected=str(count), got=str(len(names)))
    laid = grid(rearrange(pictures, "r k c h w -> (r k) c h w"), columns=num_columns, gap=gap)
    top = round(1.8 * _TEXT) if columns else 0
    left = round(max(map(len, rows), default=0) * 0.62 * _TEXT + _TEXT) if rows else 0
    laid = functional.pad(laid, (left, 0, top, 0), value=_GROUND)
    picture = canvas.start(laid)
    for number, name in enumerate(columns):
        middle = left + gap + number * (width + gap) + width / 2
        _write(picture, middle, top / 2, name, "mm")
    for number, name in enumerate(rows):
        middle = top + gap + number * (height + gap) + height / 2
        _write(picture, left - _TEXT / 3, middle, name, "rm")
    return canvas.finish(picture)


def beside(
    videos: Sequence[UInt8[Tensor, "t 3 h w"]], names: Sequence[str]
) -> UInt8[Tensor, "t 3 height width"]:
    """Videos of one size and length side by side, each with its name above.

    Raises:
        UserError: as :func:`table`.
    """
    frames = rearrange(torch.stack(list(videos)), "k t c h w -> t 1 k c h w")
    return torch.stack([table(frame, columns=names) for frame in frames])


def _write(picture: Tensor, x: float, y: float, words: str, anchor: str) -> None:
    canvas.text(picture, x, y, words, _TEXT, canvas.BLACK, edge=None, anchor=anchor)

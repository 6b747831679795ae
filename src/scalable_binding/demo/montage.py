"""Several pictures in one: titled panels in rows of two."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding.plots import canvas

_GAP = 4
_GROUND = 16


def titled(picture: UInt8[Tensor, "3 h w"], words: str) -> UInt8[Tensor, "3 h w"]:
    """The picture with words in its upper left corner."""
    size = max(9.0, picture.shape[1] / 15)
    drawn = canvas.start(picture)
    canvas.text(drawn, size / 2, size / 3, words, size)
    return canvas.finish(drawn)


def pairs(panels: Sequence[UInt8[Tensor, "3 h w"]]) -> UInt8[Tensor, "3 rows columns"]:
    """The panels, two in a row, with a thin dark gap between them; a lone last one is centred."""
    _, height, width = panels[0].shape
    rows = []
    for first in range(0, len(panels), 2):
        row = panels[first : first + 2]
        left = (2 - len(row)) * (width + _GAP) // 2
        canvas_row = torch.full((3, height, 2 * width + _GAP), _GROUND, dtype=torch.uint8)
        for number, panel in enumerate(row):
            start = left + number * (width + _GAP)
            canvas_row[:, :, start : start + width] = panel
        rows.append(canvas_row)
        rows.append(torch.full((3, _GAP, canvas_row.shape[2]), _GROUND, dtype=torch.uint8))
    return torch.cat(rows[:-1], dim=1)

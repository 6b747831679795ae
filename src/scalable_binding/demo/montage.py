"""Several pictures in one: titled panels in rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.plots import canvas

_GAP = 4
_GROUND = 16


def titled(picture: UInt8[Tensor, "3 h w"], words: str) -> UInt8[Tensor, "3 h w"]:
    """The picture with words in its upper left corner."""
    size = max(9.0, picture.shape[1] / 15)
    drawn = canvas.start(picture)
    canvas.text(drawn, size / 2, size / 3, words, size)
    return canvas.finish(drawn)


def tiled(
    panels: Sequence[UInt8[Tensor, "3 h w"]], columns: int = 2
) -> UInt8[Tensor, "3 height width"]:
    """The panels in full rows of ``columns``, thin dark gaps between them."""
    assert len(panels) % columns == 0
    apart = functional.pad(torch.stack(list(panels)), (0, _GAP, 0, _GAP), value=_GROUND)
    table = rearrange(apart, "(row column) c h w -> c (row h) (column w)", column=columns)
    return table[:, :-_GAP, :-_GAP]

"""Colors of objects, the same in every picture."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from scalable_binding.data.labels import masks


def of_ids(ids: Shaped[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """DAVIS' RGB color of every id, 0 to 255."""
    return masks.palette().float()[ids.long() % 256]


def bright(ids: Shaped[Tensor, " n"]) -> Float[Tensor, "n 3"]:
    """The same hues, light enough for thin lines and points on a photograph, 0 to 255."""
    colors = of_ids(torch.arange(256))
    strongest = colors.amax(-1, keepdim=True).clamp(min=1)
    return (0.75 * colors * (255 / strongest) + 0.25 * 255)[ids.long() % 256]

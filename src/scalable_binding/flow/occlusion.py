"""What is hidden in the other frame, found by going there and back."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from scalable_binding.walk.multiscale import grid

SHARE = 0.01
SLACK = 0.5


def way_back(
    there: Float[Tensor, "b 2 h w"], back: Float[Tensor, "b 2 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """The displacement back, looked up where each pixel goes; beyond the border that of its edge.

    Args:
        there: displacement (x, y) from the first frame to the second, in pixels.
        back: from the second to the first.
    """
    height, width = there.shape[-2:]
    places = grid((height, width), there.device).view(height, width, 2)
    target = places + rearrange(there, "b xy h w -> b h w xy")
    sides = torch.tensor([width, height], device=there.device)
    return functional.grid_sample(
        back, (2 * target + 1) / sides - 1, padding_mode="border", align_corners=False
    )


def is_hidden(
    there: Float[Tensor, "b 2 h w"], back: Float[Tensor, "b 2 h w"]
) -> Bool[Tensor, "b h w"]:
    """Pixels of the first frame that are hidden in the second, or outside of it.

    A walker that is not hidden comes home: ``|there + back|^2 <= .01 (|there|^2 + |back|^2) + .5``
    (Sundaram et al., ECCV 2010).

    Args:
        there: displacement (x, y) from the first frame to the second, in pixels.
        back: from the second to the first.
    """
    height, width = there.shape[-2:]
    home = way_back(there, back)
    miss = (there + home).square().sum(dim=1)
    moved = there.square().sum(dim=1) + home.square().sum(dim=1)
    target = grid((height, width), there.device).view(height, width, 2) + rearrange(
        there, "b xy h w -> b h w xy"
    )
    sides = torch.tensor([width - 1, height - 1], device=there.device)
    outside = ((target < 0) | (target > sides)).any(dim=-1)
    return outside | (miss > SHARE * moved + SLACK)

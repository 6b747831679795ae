"""Maps of attention over the pictures and videos that are attended to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.plots import confidence, grids

_SMALLEST = 72


def draw(
    pictures: UInt8[Tensor, "s 3 h w"],
    maps: Float[Tensor, "_s k rows columns"],
    *,
    labels: Sequence[str],
    high: float | None = None,
) -> UInt8[Tensor, "3 height width"]:
    """A table: a column for each step, the picture of the step above and then a map for each block.

    Colors tell how many times the uniform share a place gets, from 0 (dark) to ``high``.

    Args:
        pictures: what is seen at each of s steps.
        maps: shares of attention of each token, of each step and block; a map sums to 1.
        labels: a heading for each step.
        high: the lightest color; None takes the largest value.

    Raises:
        UserError: the numbers of pictures, maps and labels differ.

    Source: Thesis Fig. 2.6.
    """
    if len(pictures) != len(maps):
        raise UserError("maps of attention", expected=str(len(pictures)), got=str(len(maps)))
    pictures = grids.enlarge(pictures, _SMALLEST)
    relative = maps * (maps.shape[-1] * maps.shape[-2])
    top = float(relative.max()) if high is None else high
    rows = [pictures]
    for block in relative.unbind(1):
        heat = _spread(block, pictures.shape[-2:])
        pairs = zip(pictures, heat, strict=True)
        rows.append(torch.stack([confidence.draw(one, shares, high=top) for one, shares in pairs]))
    names = ["", *(f"block {number}" for number in range(1, len(rows)))]
    return grids.table(torch.stack(rows), rows=names, columns=labels)


def draw_video(
    frames: UInt8[Tensor, "t 3 h w"],
    maps: Float[Tensor, "k rounds rows columns"],
    *,
    high: float | None = None,
) -> UInt8[Tensor, "t 3 height width"]:
    """The video, and beside it a video for each block of the attention to its tokens.

    Args:
        frames: the video.
        maps: shares of attention of each token (time, height, width) for each of k blocks; those of
            a block sum to 1. A token stands for ``t / rounds`` frames.
        high: as in :func:`draw`.

    Raises:
        UserError: frames that do not fall into as many parts as there are tokens in time.

    Source: Thesis Fig. 2.11.
    """
    count, rounds = len(frames), maps.shape[1]
    if count % rounds:
        raise UserError("frames", expected=f"a multiple of {rounds}", got=str(count))
    frames = grids.enlarge(frames, _SMALLEST)
    relative = maps * maps[0].numel()
    top = float(relative.max()) if high is None else high
    panels = [frames]
    for block in relative:
        heat = _spread(block, frames.shape[-2:]).repeat_interleave(count // rounds, dim=0)
        pairs = zip(frames, heat, strict=True)
        panels.append(torch.stack([confidence.draw(one, s, high=top) for one, s in pairs]))
    names = ["video", *(f"block {number}" for number in range(1, len(panels)))]
    return grids.beside(panels, names)


def _spread(maps: Float[Tensor, "s rows columns"], size: Sequence[int]) -> Float[Tensor, "s h w"]:
    """The maps at the size of the pictures, every token a flat box."""
    raised = rearrange(maps.float(), "s h w -> s 1 h w")
    return functional.interpolate(raised, tuple(size), mode="nearest-exact")[:, 0]

"""Windows of a grid of nodes."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Int64
from torch import Tensor


def spans(length: int, size: int) -> list[slice]:
    """Return slices that divide ``length`` into as few parts of at most ``size`` as possible.

    The parts differ in length by at most one, so that no small rest is left over.
    """
    num = -(-length // size)
    edges = [length * i // num for i in range(num + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def widen(span: slice, reach: int, length: int) -> slice:
    """Return the span with ``reach`` more nodes on either side, cut at the ends of the grid."""
    return slice(max(span.start - reach, 0), min(span.stop + reach, length))


Span = tuple[int, int, int]
"""Of a line: places in a window, where in it the queries start, and how many there are."""


@lru_cache(maxsize=128)
def out_of_reach(
    rows: Span, columns: Span, radius: float, device: torch.device
) -> Bool[Tensor, "b n"]:
    """Return which places of a window (row by row) lie ``radius`` or more from each query.

    Most tiles of a grid are alike, and all frames of a video are.
    """
    down, along = (_squared_distances(span, device) for span in (rows, columns))
    distance = rearrange(down, "h r -> h 1 r 1") + rearrange(along, "w c -> 1 w 1 c")
    return rearrange(distance >= radius**2, "h w r c -> (h w) (r c)")


def _squared_distances(span: Span, device: torch.device) -> Int64[Tensor, "w n"]:
    length, start, count = span
    places = torch.arange(length, device=device)
    queries = torch.arange(start, start + count, device=device)
    return (places[:, None] - queries) ** 2

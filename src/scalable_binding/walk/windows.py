"""Windows of a grid of nodes."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Int64
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


def squared_offsets(length: int, device: torch.device) -> Int64[Tensor, "n n"]:
    """Return the squared distances between all pairs of ``length`` places on a line."""
    places = torch.arange(length, device=device)
    return (places[:, None] - places) ** 2

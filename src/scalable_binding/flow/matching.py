"""Global matching at the coarsest level: a full softmax over all nodes, however far apart.

A node is compared together with the 24 around it, since they move alike: a single node of 16 pixels
is easily mistaken for another.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scalable_binding.walk.affinity import DROPPED, transition
from scalable_binding.walk.multiscale import WindowStep, grid, window_places
from scalable_binding.walk.windows import spans, widen

MAX_SIMILARITIES = 2**22
"""Similarities that are in memory at once, an image."""

_REACH = 2
"""Nodes on either side that are compared together with a node."""

Maps = Float[Tensor, "b _ _ _"]
Displacements = Float[Tensor, "b 2 _ _"]


def neighborhood_similarity(a: Maps, b: Maps, rows: slice | None = None) -> Float[Tensor, "b n m"]:
    """Cosine similarity of all pairs of neighborhoods of 5 x 5 nodes, zero outside the image.

    The similarities of single nodes are summed along the diagonals of their table, so neighborhoods
    are never laid out in memory: 10 additions instead of 25 products of features.

    Args:
        a, b: unit vectors of the nodes of two images.
        rows: rows of nodes of ``a`` to compare; all of them by default.
    """
    height = a.shape[-2]
    rows = slice(0, height) if rows is None else rows
    wide = widen(rows, _REACH, height)
    table = torch.einsum("bdhw,bdyx->bhwyx", a[:, :, wide].float(), b.float())
    table = _sum_diagonally(_sum_diagonally(table, 2, 4), 1, 3)
    start = rows.start - wide.start
    table = table[:, start : start + rows.stop - rows.start]
    ones = torch.ones(1, 1, *a.shape[-2:], device=a.device)
    count = functional.avg_pool2d(ones, 2 * _REACH + 1, 1, _REACH, divisor_override=1)[0, 0]
    scale = (count[rows, :, None, None] * count).rsqrt()
    return rearrange(table * scale, "b h w y x -> b (h w) (y x)")


def _sum_diagonally(table: Tensor, first: int, second: int) -> Tensor:
    """The sum of entries up to two steps away along two axes at once."""
    total = table
    for step in range(1, _REACH + 1):
        length, other = table.shape[first] - step, table.shape[second] - step
        if min(length, other) <= 0:
            continue
        later = table.narrow(first, step, length).narrow(second, step, other)
        earlier = table.narrow(first, 0, length).narrow(second, 0, other)
        total = total + _placed(later, table, first, second, 0)
        total = total + _placed(earlier, table, first, second, step)
    return total


def _placed(part: Tensor, table: Tensor, first: int, second: int, start: int) -> Tensor:
    """The part at an offset of zeros shaped as the table."""
    pads = [0] * (2 * table.ndim)
    for axis in (first, second):
        left = 2 * (table.ndim - 1 - axis)
        pads[left], pads[left + 1] = start, table.shape[axis] - part.shape[axis] - start
    return functional.pad(part, pads)


@torch.no_grad()
def global_displacement(a: Maps, b: Maps, peak: int, temperature: float) -> Displacements:
    """The expected displacement of each node, in nodes, looking everywhere.

    The mean is over the nodes within ``peak`` of the likeliest one, since the mean of two distant
    modes is a place that neither says. Rows are taken a few at a time. Of neighboring displacements
    the median counts.

    Source: Thesis Eq. 3.1 and 3.6.1.
    """
    height, width = a.shape[-2:]
    with torch.autocast(a.device.type, enabled=False):
        places = grid((height, width), a.device)
        parts = []
        for rows in spans(height, max(1, MAX_SIMILARITIES // (width * len(places)))):
            table = neighborhood_similarity(a, b, rows)
            likeliest = places[table.argmax(dim=-1)]
            window, inside = window_places(likeliest, peak, (height, width))
            near = table.gather(-1, window).masked_fill(~inside, DROPPED)
            step = WindowStep(transition(near, temperature), likeliest, (height, width))
            parts.append(step.expected_place())
        moved = torch.cat(parts, dim=1) - places
        return _median(rearrange(moved, "b (h w) xy -> b xy h w", h=height))


def _median(flow: Displacements) -> Displacements:
    """The median of each coordinate over 3 x 3 nodes."""
    padded = functional.pad(flow, [1] * 4, mode="replicate")
    around = padded.unfold(2, 3, 1).unfold(3, 3, 1)
    return around.flatten(4).median(dim=-1).values

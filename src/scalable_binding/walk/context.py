"""Frames prepared for a search of neighbours, and the search for one tile of queries."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

from scalable_binding.walk.windows import squared_offsets, widen


@dataclass(frozen=True)
class Context:
    """The nodes of m frames, less a centre that is common to many of them.

    Nodes k at the same place of successive frames differ little, and bfloat16 rounds what they
    share along with what tells them apart. So the keys are k - c, with c the mean over the frames
    at a place, and <q, k> = <q, k - c> + <q, c>: the first product in ``dtype`` for every frame,
    the second in float32 once for all. For frames that are searched everywhere c is a single mean.
    """

    keys: Float[Tensor, "m h w d"]
    centre: Float[Tensor, "h w d"]
    mean: Float[Tensor, " d"]
    windowed: list[int]
    everywhere: list[int]
    radius: float
    dtype: torch.dtype

    @classmethod
    def prepare(
        cls,
        frames: Sequence[Float[Tensor, "d h w"]],
        unmasked: Collection[int],
        radius: float,
        dtype: torch.dtype,
    ) -> Context:
        """Return the context of ``frames``, of which those ``unmasked`` are searched everywhere."""
        d, h, w = frames[0].shape
        everywhere = [i for i in range(len(frames)) if i in unmasked]
        windowed = [i for i in range(len(frames)) if i not in unmasked]
        radius = min(radius, float(h + w))
        if not windowed:
            everywhere, windowed, radius = [], everywhere, float(h + w)
        nodes = [rearrange(frame, "d h w -> h w d") for frame in frames]
        centre = _mean([nodes[i] for i in windowed])
        mean = _mean([nodes[i] for i in everywhere or windowed]).mean(dim=(0, 1))
        keys = centre.new_empty(len(frames), h, w, d)
        for i, frame in enumerate(nodes):
            torch.sub(frame, mean if i in everywhere else centre, out=keys[i])
        return cls(keys, centre, mean, windowed, everywhere, radius, dtype)

    @cached_property
    def free_keys(self) -> Float[Tensor, "f d"]:
        """Nodes of the frames that are searched everywhere."""
        return self.keys[self.everywhere].flatten(0, 2).to(self.dtype)

    @property
    def reach(self) -> int:
        """The most rows or columns that lie between a query and a candidate within the radius."""
        return math.ceil(self.radius) - 1

    def strip(self, columns: slice) -> Strip:
        """Return all that queries in these columns are compared with."""
        m, h, w, _ = self.keys.shape
        near = widen(columns, self.reach, w)
        keys = torch.stack([self.keys[i, :, near].to(self.dtype) for i in self.windowed], dim=1)
        places = torch.arange(m * h * w, device=self.keys.device).view(m, h, w)
        return Strip(
            context=self,
            columns=columns,
            near=near,
            keys=keys,
            places=torch.stack([places[i, :, near] for i in self.windowed], dim=1),
            free_places=places[self.everywhere].flatten(),
        )

    def products(
        self, queries: Float[Tensor, "r c d"], places: Int64[Tensor, "r c k"]
    ) -> Float[Tensor, "r c k"]:
        """Return <q, k - c> in float32 of each query and the nodes at its ``places``."""
        r, c, k = places.shape
        keys = self.keys.flatten(0, 2)[places.flatten()].float()
        products = torch.bmm(keys.view(r * c, k, -1), queries.reshape(r * c, -1, 1))
        return products.view(r, c, k)


@dataclass(frozen=True)
class Strip:
    """What queries in some columns are compared with.

    ``keys`` are windows of frames, all rows of the columns ``near`` enough, with the frames inside
    the rows so that the window of a tile is a slice; the context's free keys come on top.
    ``places`` and ``free_places`` say where in the context each of them is.
    """

    context: Context
    columns: slice
    near: slice
    keys: Float[Tensor, "h m c d"]
    places: Int64[Tensor, "h m c"]
    free_places: Int64[Tensor, " f"]

    def propose(
        self, queries: Float[Tensor, "h w d"], rows: slice, k: int
    ) -> tuple[Float[Tensor, "r c k"], Int64[Tensor, "r c k"]]:
        """Return <q, c> and the place in the context of each of the k best matches of a tile.

        Matches come in no order. If there are fewer than k of them, <q, c> of the rest is -inf, or
        fewer than k come back.
        """
        tile = queries[rows, self.columns]
        window = widen(rows, self.context.reach, len(queries))
        scores = self._score(window, tile.flatten(0, 1))
        base, entry = _best(scores, self._base(rows, window, tile.flatten(0, 1), len(scores)), k)
        places = torch.cat([self.places[window].flatten(), self.free_places])
        found = places[entry.clamp(max=len(places) - 1)]
        r, c, _ = tile.shape
        return (
            rearrange(base, "k (r c) -> r c k", r=r, c=c),
            rearrange(found, "k (r c) -> r c k", r=r, c=c),
        )

    def _score(self, window: slice, tile: Float[Tensor, "n d"]) -> Float[Tensor, "r m c n"]:
        """Return <q, k - c> of each query (last) and each candidate, in the keys' dtype.

        The first rows are those of the window; further rows hold the free keys and end with -inf.
        """
        near = self.keys[window]
        r, m, c, d = near.shape
        num_near, num_free = r * m * c, len(self.context.free_keys)
        num_rows = r + -(-num_free // (m * c))
        scores = near.new_empty(num_rows * m * c, len(tile))
        rounded = tile.to(near.dtype).mT
        torch.mm(near.view(-1, d), rounded, out=scores[:num_near])
        torch.mm(self.context.free_keys, rounded, out=scores[num_near : num_near + num_free])
        scores[num_near + num_free :] = -math.inf
        return scores.view(num_rows, m, c, -1)

    def _base(
        self, rows: slice, window: slice, tile: Float[Tensor, "n d"], num_rows: int
    ) -> Float[Tensor, "b n"]:
        """Return <q, c> of each query and each block of the scores, -inf beyond the radius."""
        centre = self.context.centre[window, self.near]
        h, w, _ = self.context.centre.shape
        down = squared_offsets(h, tile.device)[window, rows]
        along = squared_offsets(w, tile.device)[self.near, self.columns]
        beyond = down[:, None, :, None] + along[None, :, None, :] >= self.context.radius**2
        base = centre.flatten(0, 1) @ tile.mT
        base.masked_fill_(beyond.flatten(2).flatten(0, 1), -math.inf)
        num_free_blocks = num_rows * centre.shape[1] - len(base)
        free_base = (tile @ self.context.mean).expand(num_free_blocks, -1)
        return torch.cat([base, free_base])


def _best(
    scores: Float[Tensor, "r m c n"], base: Float[Tensor, "b n"], k: int
) -> tuple[Float[Tensor, "k n"], Int64[Tensor, "k n"]]:
    """Return the base and the entry (r m c) of the k largest sums of a score and its block's base.

    A block is a place (r c) with its m frames. The k blocks with the largest maxima hold the k
    largest entries, so only these blocks' entries are sorted.
    """
    r, m, c, n = scores.shape
    largest = scores.amax(dim=1).view(r * c, n) + base
    block = largest.topk(min(k, r * c), dim=0, sorted=False).indices
    base = base.gather(0, block)
    first = block // c * (m * c) + block % c
    frame = torch.arange(m, device=scores.device).view(m, 1, 1)
    entry = (first + frame * c).flatten(0, 1)
    score = scores.view(-1, n).gather(0, entry) + base.repeat(m, 1)
    best = score.topk(min(k, len(score)), dim=0, sorted=False)
    base = base.gather(0, best.indices % len(block)).masked_fill(best.values.isneginf(), -math.inf)
    return base, entry.gather(0, best.indices)


def _mean(frames: Sequence[Float[Tensor, "h w d"]]) -> Float[Tensor, "h w d"]:
    """Return the mean of frames in float32, without a copy of them all."""
    total = frames[0].float().clone(memory_format=torch.contiguous_format)
    for frame in frames[1:]:
        total += frame
    return total / len(frames)

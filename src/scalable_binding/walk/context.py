"""Frames prepared for a search of neighbors, and the search for one tile of queries."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from scalable_binding.walk.windows import out_of_reach, widen


class Kept:
    """What was made of the frames of a context before: their keys, centered and rounded.

    The center is taken anew once as many frames have come as it was the mean of, so that it goes
    along with a video; then all keys are made anew.
    """

    def __init__(self) -> None:
        self._center: Float[Tensor, "h w d"] | None = None
        self._keys: dict[int, tuple[Tensor, Float[Tensor, "h w d"]]] = {}
        self._dtype: torch.dtype | None = None
        self._left = 0

    def center(
        self, nodes: Sequence[Float[Tensor, "h w d"]], dtype: torch.dtype
    ) -> tuple[Float[Tensor, "h w d"], list[Float[Tensor, "h w d"]]]:
        """The center for these frames, and the keys of each: ``(k - c)`` in ``dtype``."""
        places = [each.data_ptr() for each in nodes]
        new = [place for place in places if place not in self._keys]
        center = self._center
        is_other = center is None or center.shape != nodes[0].shape or self._dtype != dtype
        if is_other or len(new) > self._left:
            center = _mean(nodes)
            self._center, self._dtype, self._left, self._keys = center, dtype, len(nodes), {}
        else:
            self._left -= len(new)
        assert center is not None
        before, self._keys = self._keys, {}
        for place, each in zip(places, nodes, strict=True):
            # The frame itself is kept beside its keys, so that no other takes its place in memory.
            self._keys[place] = before.get(place) or (each, (each - center).to(dtype))
        return center, [self._keys[place][1] for place in places]


@dataclass(frozen=True)
class Context:
    """The nodes of m frames, and a center that is common to many of them.

    Nodes k at the same place of successive frames differ little, and bfloat16 rounds what they
    share along with what tells them apart. So candidates are compared by <q, k - c> + <q, c>, with
    c the mean over the frames at a place: the first product in ``dtype`` for every frame, the
    second in float32 once for all. For ``free`` frames, searched everywhere, c is a single mean.
    """

    frames: list[Float[Tensor, "h w d"]]
    keys: list[Float[Tensor, "h w d"]]
    windowed: list[int]
    free: list[int]
    center: Float[Tensor, "h w d"]
    free_center: Float[Tensor, " d"]
    free_keys: Float[Tensor, "f d"]
    radius: float

    @classmethod
    def prepare(
        cls,
        frames: Sequence[Float[Tensor, "d h w"]],
        unmasked: Collection[int],
        radius: float,
        dtype: torch.dtype,
        kept: Kept | None = None,
    ) -> Context:
        """Return the context of ``frames``, of which those ``unmasked`` are searched everywhere.

        With ``kept`` a frame's keys are made once, when it comes, and c is a mean of before.
        """
        nodes = [rearrange(frame, "d h w -> h w d").contiguous() for frame in frames]
        free = [i for i in range(len(nodes)) if i in unmasked]
        windowed = [i for i in range(len(nodes)) if i not in unmasked]
        h, w, d = nodes[0].shape
        radius = min(radius, float(h + w))
        if not windowed:
            free, windowed, radius = [], free, float(h + w)
        if kept is None:
            kept = Kept()
        center, keys = kept.center([nodes[i] for i in windowed], dtype)
        free_center = center.new_zeros(d)
        free_keys = center.new_zeros(0, d, dtype=dtype)
        if free:
            free_center = _mean([nodes[i] for i in free]).mean(dim=(0, 1))
            free_keys = torch.cat([(nodes[i] - free_center).to(dtype).view(-1, d) for i in free])
        return cls(nodes, keys, windowed, free, center, free_center, free_keys, radius)

    @property
    def reach(self) -> int:
        """The most rows or columns that lie between a query and a candidate within the radius."""
        return math.ceil(self.radius) - 1

    def strip(self, columns: slice) -> Strip:
        """Return all that queries in these columns are compared with."""
        h, w, d = self.center.shape
        near = widen(columns, self.reach, w)
        keys = self.free_keys.new_empty(h, len(self.windowed), near.stop - near.start, d)
        for i, of_frame in enumerate(self.keys):
            keys[:, i] = of_frame[:, near]
        places = torch.arange(len(self.frames) * h * w, device=keys.device).view(-1, h, w)
        return Strip(
            context=self,
            columns=columns,
            near=near,
            keys=keys,
            places=rearrange(places[self.windowed][:, :, near], "m h c -> h m c").contiguous(),
            free_places=places[self.free].flatten(),
        )

    def similarity(
        self, queries: Float[Tensor, "h c d"], places: Int64[Tensor, "h c k"]
    ) -> Float[Tensor, "h c k"]:
        """Return <q, k> in float32 of each query and the nodes at its ``places`` (-1: -inf)."""
        h, w, d = self.center.shape
        k = places.shape[-1]
        frame = torch.div(places, h * w, rounding_mode="floor").flatten()
        similarity = queries.new_full((places.numel(),), -math.inf)
        for i, nodes in enumerate(self.frames):
            pairs = (frame == i).nonzero().squeeze(-1)
            keys = nodes.view(-1, d).index_select(0, places.flatten()[pairs] - i * h * w).float()
            matched = queries.flatten(0, 1).index_select(0, pairs // k)
            similarity[pairs] = (keys * matched).sum(dim=-1)
        return similarity.view(places.shape)


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
    ) -> Int64[Tensor, "r c k"]:
        """Return the places in the context of the k best matches of each query in a tile.

        They come in no order. If there are fewer than k, the rest is -1, or fewer come back.
        """
        tile = queries[rows, self.columns]
        nodes = rearrange(tile, "r c d -> (r c) d")
        window = widen(rows, self.context.reach, len(queries))
        scores = self._score(window, nodes)
        base = self._base(window, nodes, beyond=self._beyond(window, rows), num_rows=len(scores))
        entry = _best_entries(scores, base, k)
        places = torch.cat([self.places[window].flatten(), self.free_places])
        found = torch.where(entry < 0, -1, places[entry.clamp(min=0)])
        return rearrange(found, "k (r c) -> r c k", r=len(tile))

    def _score(self, window: slice, nodes: Float[Tensor, "n d"]) -> Float[Tensor, "r m c n"]:
        """Return <q, k - c> of each query (last) and each candidate, in the keys' dtype.

        The first rows are those of the window; further rows hold the free keys and end with -inf.
        """
        near, free = self.keys[window], self.context.free_keys
        r, m, c, d = near.shape
        num_near, num_free_rows = r * m * c, -(-len(free) // (m * c))
        scores = near.new_empty(r + num_free_rows, m, c, len(nodes))
        table = scores.view(-1, len(nodes))
        rounded = nodes.to(near.dtype).mT
        torch.mm(near.view(-1, d), rounded, out=table[:num_near])
        torch.mm(free, rounded, out=table[num_near : num_near + len(free)])
        table[num_near + len(free) :] = -math.inf
        return scores

    def _beyond(self, window: slice, rows: slice) -> Bool[Tensor, "b n"]:
        """Return which places of the window are out of reach of each query in the tile."""
        near, columns = self.near, self.columns
        return out_of_reach(
            (window.stop - window.start, rows.start - window.start, rows.stop - rows.start),
            (near.stop - near.start, columns.start - near.start, columns.stop - columns.start),
            self.context.radius,
            self.keys.device,
        )

    def _base(
        self,
        window: slice,
        nodes: Float[Tensor, "n d"],
        beyond: Bool[Tensor, "b n"],
        num_rows: int,
    ) -> Float[Tensor, "_ n"]:
        """Return <q, c> of each query and each block of the scores, -inf where out of reach."""
        center = self.context.center[window, self.near].flatten(0, 1)
        base = (center @ nodes.mT).masked_fill_(beyond, -math.inf)
        num_free = num_rows * self.keys.shape[2] - len(base)
        return torch.cat([base, (nodes @ self.context.free_center).expand(num_free, -1)])


def _best_entries(
    scores: Float[Tensor, "r m c n"], base: Float[Tensor, "b n"], k: int
) -> Int64[Tensor, "k n"]:
    """Return the entries, flattened from (r m c), of the k largest sums of score and base.

    A block is a place (r c) with its m frames, which share a base. The k blocks with the largest
    maxima hold the k largest entries, so only their entries are sorted. -inf gives -1.
    """
    r, m, c, n = scores.shape
    largest = scores.view(r, m, c * n).amax(dim=1).view(r * c, n) + base
    block = largest.topk(min(k, r * c), dim=0, sorted=False).indices
    frame = torch.arange(m, device=scores.device).view(m, 1, 1)
    entry = (block // c * (m * c) + block % c + frame * c).flatten(0, 1)
    score = scores.view(-1, n).gather(0, entry) + base.gather(0, block).repeat(m, 1)
    best = score.topk(min(k, len(score)), dim=0, sorted=False)
    return entry.gather(0, best.indices).masked_fill(best.values.isneginf(), -1)


def _mean(frames: Sequence[Float[Tensor, "h w d"]]) -> Float[Tensor, "h w d"]:
    """Return the mean of frames in float32, without a copy of them all."""
    total = frames[0].to(torch.float32, copy=True)
    for frame in frames[1:]:
        total += frame
    return total / len(frames)

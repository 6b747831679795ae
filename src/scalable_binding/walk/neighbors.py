"""The nearest nodes among all frames of a context, and labels carried over from them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import embedding_bag

from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.walk.context import Context, Kept
from scalable_binding.walk.windows import spans

SPARE = 6
"""Matches proposed beyond the k asked for, from which float32 chooses after a bfloat16 product."""


@dataclass(frozen=True)
class Neighbors:
    """The k matches of every query, best first."""

    similarity: Float[Tensor, "h w k"]
    """Inner products in float32; -inf where there were fewer than k nodes to choose from."""
    index: Int64[Tensor, "h w k"]
    """Nodes of the context, flattened from ``(m h w)``."""
    count: Int64[Tensor, "h w k"]
    """How many of the k places a match takes, as one of several copies; 0 when none is left."""


@torch.no_grad()
def top_neighbors(
    query: Float[Tensor, "d h w"],
    frames: Sequence[Float[Tensor, "_ _ _"]],
    *,
    k: int = 10,
    radius: float = 12.0,
    unmasked: Collection[int] = (0,),
    counts: Sequence[int] | None = None,
    dtype: torch.dtype | None = None,
    tile: int = 16,
    kept: Kept | None = None,
) -> Neighbors:
    """Return the k nodes most similar to each node of the query frame, among all frames jointly.

    Queries are taken a tile at a time, and a tile is compared with the window that its discs reach
    in every frame, in one matrix product; `walk.context` finds the best of these. Memory beyond
    the frames and the result is that of one strip of the context, as wide as a tile's window.
    The result is the top k of the full table, but for ties and, in bfloat16, near ties.

    Args:
        query: features of the frame to explain, l2-normalized along ``d``.
        frames: features of the context, each as the query; stored channels last they are read
            fastest.
        k: matches per query; fewer come back when the context has fewer nodes.
        radius: nodes at this distance or beyond, in nodes, are no candidates.
        unmasked: positions in ``frames`` of those that are searched everywhere.
        counts: how often each frame is in the context; each match takes as many of the k places.
            Copies beyond the first lie within the radius, also those of an unmasked frame, so a
            queue filled with copies of its first frame gives the same result as a count.
        dtype: of the matrix products; by default `fastest_dtype`. Similarities are float32 always.
        tile: side of the square of queries that share a window, in nodes.
        kept: what was made of the frames before, for searches along a video whose context changes
            by a frame at a time: a frame's tensor must then not be written to.

    Raises:
        ValueError: an empty context, frames of different sizes, or an option out of range.

    Source: Thesis 3.3.1 and 3.7.6.
    """
    _check_frames(query, frames)
    _check_options(len(frames), k, radius, unmasked, counts, tile)
    _, h, w = query.shape
    dtype = dtype or fastest_dtype(query.device)
    num = min(k + SPARE, len(frames) * h * w)
    similarity = query.new_empty((h, w, num), dtype=torch.float32)
    index = query.new_full((h, w, num), -1, dtype=torch.int64)
    with torch.autocast(query.device.type, enabled=False):
        queries = rearrange(query, "d h w -> h w d").float().contiguous()
        context = Context.prepare(frames, unmasked, radius, dtype, kept)
        for columns in spans(w, tile):
            strip = context.strip(columns)
            for rows in spans(h, tile):
                places = strip.propose(queries, rows, num)
                index[rows, columns, : places.shape[-1]] = places
            similarity[:, columns] = context.similarity(queries[:, columns], index[:, columns])
    similarity, order = similarity.topk(min(k, num), dim=-1)
    index = index.gather(-1, order).clamp(min=0)
    return Neighbors(similarity, index, _places(similarity, index, k, radius, counts))


def carry_labels(
    neighbors: Neighbors, labels: Sequence[Float[Tensor, "h w c"]], temperature: float
) -> Float[Tensor, "h w c"]:
    """Return the labels of each node: the mean of its neighbors', by a softmax over these.

    Args:
        neighbors: of each node, in a context of ``len(labels)`` frames.
        labels: of the frames of the context, in the same order; any number of soft maps.
        temperature: divides the similarities.

    Raises:
        ValueError: a temperature out of range.

    Source: Thesis 3.3.1, L_t = K L_s.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    h, w, _ = neighbors.index.shape
    logits = neighbors.similarity / temperature + neighbors.count.log()
    nodes = torch.stack(list(labels)).flatten(0, 2)
    weights = logits.softmax(dim=-1).to(nodes.dtype).flatten(0, 1)
    carried = embedding_bag(
        neighbors.index.flatten(0, 1), nodes, per_sample_weights=weights, mode="sum"
    )
    return rearrange(carried, "(h w) c -> h w c", h=h, w=w)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the device multiplies matrices of it natively, otherwise float32."""
    return torch.bfloat16 if has_fast_bfloat16(device.type) else torch.float32


def _places(
    similarity: Float[Tensor, "h w k"],
    index: Int64[Tensor, "h w k"],
    k: int,
    radius: float,
    counts: Sequence[int] | None,
) -> Int64[Tensor, "h w k"]:
    """Return how many of k places each match takes, when the best come first."""
    h, w, _ = index.shape
    count = torch.ones_like(index)
    if counts is not None:
        y, x = index % (h * w) // w, index % w
        rows = torch.arange(h, device=index.device).view(h, 1, 1)
        columns = torch.arange(w, device=index.device).view(1, w, 1)
        near = (y - rows) ** 2 + (x - columns) ** 2 < radius**2
        count = torch.where(near, torch.tensor(counts, device=index.device)[index // (h * w)], 1)
    count = count.masked_fill(similarity.isneginf(), 0)
    left = k - (count.cumsum(dim=-1) - count)
    return torch.minimum(count, left.clamp(min=0))


def _check_frames(query: Float[Tensor, "d h w"], frames: Sequence[Float[Tensor, "_ _ _"]]) -> None:
    if not frames:
        raise ValueError("frames: expected at least one frame of context, got none")
    for i, frame in enumerate(frames):
        if frame.shape != query.shape:
            expected, got = tuple(query.shape), tuple(frame.shape)
            raise ValueError(f"frames[{i}]: expected the query's shape {expected}, got {got}")


def _check_options(
    num_frames: int,
    k: int,
    radius: float,
    unmasked: Collection[int],
    counts: Sequence[int] | None,
    tile: int,
) -> None:
    for name, value in (("k", k), ("tile", tile)):
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not radius > 0:
        raise ValueError(f"radius: expected a number above 0, got {radius}")
    if not set(unmasked) <= set(range(num_frames)):
        last, got = num_frames - 1, list(unmasked)
        raise ValueError(f"unmasked: expected positions from 0 to {last}, got {got}")
    if counts is not None and (len(counts) != num_frames or min(counts) < 1):
        raise ValueError(f"counts: expected {num_frames} numbers of at least 1, got {counts}")

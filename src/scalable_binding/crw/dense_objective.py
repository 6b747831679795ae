"""The loss of the dense walk: out over the frames, back, and home into another view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_views import nearest_nodes, places_in_other_view
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.views import change_colors
from scalable_binding.walk.affinity import similarity, transition

EPS = 1e-20
"""Bounds the loss of a walker that is lost."""

NEAR = 1.5
"""Nodes between a walker's likeliest end and its home, for it to count as home."""


class Starts(NamedTuple):
    """Where walkers start, and where they should end.

    Attributes:
        nodes: of the first view.
        homes: the four nodes of the home view around each one's place.
        weights: of these four; all zero for a walker that has no way home.
    """

    nodes: Int64[Tensor, "b s"]
    homes: Int64[Tensor, "b s 4"]
    weights: Float[Tensor, "b s 4"]


def loss(
    model: Encoder, batch: Mapping[str, Tensor], generator: Generator, config: DenseWalkConfig
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The mean over walks of k = 1 .. t-1 steps out and back of -sum_j w_j log P(X_2k = j).

    ``w`` are the bilinear weights of the four nodes of the home view around a walker's own place:
    the known warp between two views of one frame labels the walk's end, as in the label-warped
    walk of Shrivastava & Owens (2024). With ``graph`` "batch" the nodes of all clips are
    candidates in each step.

    Args:
        model: an encoder with a head.
        batch: ``views`` and ``windows`` of ``DenseClips``.
        generator: of colors, starts and dropped edges.
        config: nodes and walks.
    """
    views = batch["views"]
    b = len(views)
    images = rearrange(views, "b v c y x -> (b v) c y x").float() / 255
    images = change_colors(images, config.color, generator)
    nodes = rearrange(pooled_nodes(model, images, config.pool), "(b v) n d -> v b n d", b=b)
    frames, home, windows = nodes[:-1], nodes[-1], batch["windows"]
    target = windows[:, -1]
    if config.home == "same":
        home, target = frames[0], windows[:, 0]
    starts = draw_starts(
        windows[:, 0], target, int(nodes.shape[2] ** 0.5), config.starts, generator
    )
    returns = walk_home(frames, home, starts.nodes, config, generator)
    losses, accuracies = zip(
        *(score(walk, starts, nodes.shape[2]) for walk in returns), strict=True
    )
    metrics: dict[str, Tensor] = {}
    for hops, (value, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1):
        metrics |= {f"loss_{hops}": value.detach(), f"accuracy_{hops}": accuracy}
    return torch.stack(losses).mean(), metrics


def pooled_nodes(
    model: Encoder, images: Float[Tensor, "b 3 h w"], pool: int
) -> Float[Tensor, "b n d"]:
    """Unit vectors of ``pool`` x ``pool`` cells each of the last stage's map, row by row."""
    assert model.head is not None
    maps = functional.avg_pool2d(model.last_map(images), pool)
    vectors = model.head(rearrange(maps, "b c h w -> b (h w) c"))
    return functional.normalize(vectors.float(), dim=-1)


def draw_starts(
    first: Float[Tensor, "b 4"],
    home: Float[Tensor, "b 4"],
    grid: int,
    count: int,
    generator: Generator,
) -> Starts:
    """Nodes to start from, at random among those whose place lies inside the home window.

    Where there are fewer than ``count`` of them, the rest have weights of zero.
    """
    places, inside = places_in_other_view(first, home, grid)
    draws = torch.rand(inside.shape, generator=generator, device=generator.device)
    order = (draws.to(inside.device) + inside).topk(min(count, grid * grid), dim=1).indices
    chosen = places.gather(1, order[..., None].expand(-1, -1, 2))
    homes, weights = nearest_nodes(chosen, grid)
    return Starts(order, homes, weights * inside.gather(1, order)[..., None])


def walk_home(
    frames: Sequence[Float[Tensor, "b n d"]] | Float[Tensor, "t b n d"],
    home: Float[Tensor, "b n d"],
    starts: Int64[Tensor, "b s"],
    config: DenseWalkConfig,
    generator: Generator | None = None,
) -> list[Float[Tensor, "b s m"]]:
    """Where walkers end that go k frames out, back to frame 1 and from there home, k = 1 .. t-1.

    Only the rows of the starts are multiplied, left to right. With ``config.graph`` "batch" the
    ``m`` ends are the nodes of all clips' home views, clip by clip, otherwise the clip's own.
    """
    b, n, _ = home.shape
    graphs = 1 if config.graph == "batch" else b
    with torch.autocast(home.device.type, enabled=False):
        grouped = [rearrange(x, "(g c) n d -> g (c n) d", g=graphs) for x in (*frames, home)]
        last = grouped.pop()
        offsets = n * torch.arange(b // graphs, device=starts.device).repeat(graphs)
        rows = rearrange(starts + offsets[:, None], "(g c) s -> g (c s)", g=graphs)
        leave = grouped[0].gather(1, rows[..., None].expand(-1, -1, home.shape[-1]))

        def step(a: Tensor, to: Tensor) -> Tensor:
            edges = similarity(a, to)
            return transition(edges, config.temperature, config.edge_dropout, generator)

        final = step(grouped[1], last)
        out, returns = step(leave, grouped[1]), []
        for k in range(1, len(grouped)):
            if k > 1:
                out = out @ step(grouped[k - 1], grouped[k])
            back = out
            for frame in range(k, 1, -1):
                back = back @ step(grouped[frame], grouped[frame - 1])
            returns.append(rearrange(back @ final, "g (c s) m -> (g c) s m", c=b // graphs))
    return returns


def score(
    walk: Float[Tensor, "b s m"], starts: Starts, num_nodes: int
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The walkers' mean loss, and the share of them whose likeliest end is near their home."""
    b, _, num_ends = walk.shape
    clips = torch.arange(b, device=walk.device) if num_ends > num_nodes else torch.zeros(b)
    first = (clips.to(walk.device).long() * num_nodes)[:, None]
    reached = walk.gather(2, starts.homes + first[..., None])
    counted = starts.weights.sum().clamp(min=1)
    value = -(starts.weights * torch.log(reached + EPS)).sum() / counted
    with torch.no_grad():
        distance = _distance(walk.argmax(dim=2) - first, starts, num_nodes)
        accuracy = ((distance < NEAR) * starts.weights.sum(dim=2)).sum() / counted
    return value, accuracy


def _distance(ends: Int64[Tensor, "b s"], starts: Starts, num_nodes: int) -> Float[Tensor, "b s"]:
    """From each end to its walker's home, in nodes; infinity in another clip."""
    grid = int(num_nodes**0.5)
    rows = ((starts.homes // grid) * starts.weights).sum(dim=2)
    columns = ((starts.homes % grid) * starts.weights).sum(dim=2)
    distance = torch.hypot(ends // grid - rows, ends % grid - columns)
    outside = (ends < 0) | (ends >= num_nodes)
    return distance.masked_fill(outside, torch.inf)

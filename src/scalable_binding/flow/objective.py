"""The loss of the multiscale walk: walkers come home at every scale.

Four terms. The *cycle* term is -log P(return) of walks along the frames of a clip and back, at
every scale (Eq. 3.4); home is another view of the first frame, so that the place in the image does
not tell the way (Shrivastava and Owens, ECCV 2024). The *direct* term is the walk whose end is
known (Eq. 3.3): between two views made from single frames. *Smoothness* lets displacements change
at edges only; *consistency* holds what is found on changed views of a clip to what is found,
without gradient, on the clip itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.flow.matching import neighborhood_similarity
from scalable_binding.flow.model import FlowNet, Maps, Match, Stage
from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.flow.presets import FlowLossConfig
from scalable_binding.flow.views import Pair, changed, home_view, layered, tinted
from scalable_binding.walk.affinity import transition
from scalable_binding.walk.multiscale import bilinear_shares, grid, window_palindromes

Scalar = Float[Tensor, ""]
Loss = tuple[Scalar, dict[str, Scalar]]


@dataclass(frozen=True)
class Walk:
    """Everything found along a clip: features, and matches of neighboring frames both ways."""

    frames: list[Float[Tensor, "b 3 h w"]]
    features: list[list[Maps]]
    forward: list[Match]
    backward: list[Match]


def loss(
    model: FlowNet, batch: Mapping[str, Tensor], generator: Generator, config: FlowLossConfig
) -> Loss:
    """The weighted sum of the terms, and each of them.

    The terms over clips are computed on a share of the batches; the means that a log shows of them
    are as if on all.

    Args:
        model: the network.
        batch: ``frames``, uint8 ``(b t 3 h w)``; sides are multiples of 16.
        generator: of views, blobs, tints and starts.
        config: weights and settings.
    """
    frames = batch["frames"].float() / 255
    total = frames.new_zeros(())
    metrics: dict[str, Scalar] = {}
    if config.direct_weight:
        pair = layered(frames[:, 0], config.views, generator)
        value, metrics = direct(model, pair, config, generator)
        total = total + config.direct_weight * value
        metrics["loss_direct"] = value
    weights = {
        "cycle": config.cycle_weight,
        "smooth": config.smooth_weight,
        "consistency": config.consistency_weight,
    }
    weights = {name: weight for name, weight in weights.items() if weight}
    # Where nothing else is learned from, the terms over clips are in every batch.
    rate = config.clip_rate if config.direct_weight else 1.0
    drawn = torch.rand((), generator=generator, device=generator.device) < rate
    values = over_clips(model, frames, weights, config, generator) if drawn and weights else {}
    for name, weight in weights.items():
        value = values.get(name, total.new_zeros(()))
        total = total + weight * value
        metrics[f"loss_{name}"] = value / max(rate, 1e-6)
    return total, {name: value.detach() for name, value in metrics.items()}


def over_clips(
    model: FlowNet,
    frames: Float[Tensor, "b t 3 h w"],
    names: Collection[str],
    config: FlowLossConfig,
    generator: Generator,
) -> dict[str, Scalar]:
    """The terms over clips that are asked for: "cycle", "smooth" and "consistency"."""
    walk = walk_along(model, frames)
    values = {}
    if "cycle" in names:
        values["cycle"] = cycle(model, walk, config, generator)
    if "smooth" in names:
        pairs = zip(walk.frames, walk.forward, strict=False)
        bends = [smoothness(frame, match.flow, config.edge) for frame, match in pairs]
        values["smooth"] = torch.stack(bends).mean()
    if "consistency" in names:
        values["consistency"] = consistency(model, walk, config, generator)
    return values


def walk_along(model: FlowNet, frames: Float[Tensor, "b t 3 h w"]) -> Walk:
    """Features of all frames, and matches of each with the next and the next with it."""
    b, t = frames.shape[:2]
    maps = model.encoder(rearrange(frames, "b t c h w -> (t b) c h w"))
    features = [[level[i * b : (i + 1) * b] for level in maps] for i in range(t)]
    steps = range(t - 1)
    forward = [model.match(features[i], features[i + 1]) for i in steps]
    backward = [model.match(features[i + 1], features[i]) for i in steps]
    return Walk(list(frames.unbind(dim=1)), features, forward, backward)


def cycle(model: FlowNet, walk: Walk, config: FlowLossConfig, generator: Generator) -> Scalar:
    """-log P(return), the mean over scales and lengths.

    The coarsest scale compares all nodes with all, a node together with its neighbors. At the
    others walkers go from window to window. Walkers that the forward-backward check finds about to
    be hidden at their first step, or whose place is outside the home view, take no part.
    """
    home = home_view(walk.frames[0], config.views, generator)
    features = model.encoder(tinted(home.second, config.views, generator))
    way_home = model.match(walk.features[1], features)
    seen = ~is_hidden(walk.forward[0].flow, walk.backward[0].flow) & home.visible
    values = [_coarse_cycle(model, walk, features[0], home, seen, config.eps)]
    for level, last in enumerate(way_home.stages):
        forward = [match.stages[level].step for match in walk.forward]
        backward = [match.stages[level].step for match in walk.backward]
        backward[0] = last.step
        weight = _shrink(seen[:, None].float(), last.stride).flatten(1)
        target = _ends(_shrink(home.flow, last.stride) / last.stride)
        starts = None
        if len(forward) > 1:
            starts = _draw_starts(weight, config.starts, generator)
            weight = weight.gather(1, starts)
        for returns in window_palindromes(forward, backward, starts, target):
            values.append(_mean_surprise(returns, weight, config.eps))
    return torch.stack(values).mean()


def _coarse_cycle(
    model: FlowNet, walk: Walk, home: Maps, view: Pair, seen: Bool[Tensor, "b h w"], eps: float
) -> Scalar:
    """-log P(return) of walks over all nodes of the coarsest level."""
    with torch.autocast(home.device.type, enabled=False):
        coarse = [features[0].float() for features in walk.features]
        out: Tensor | None = None
        back = transition(neighborhood_similarity(coarse[1], home.float()), model.temperature)
        stride = walk.forward[0].stages[0].stride
        weight = _shrink(seen[:, None].float(), stride).flatten(1)
        target = _ends(_shrink(view.flow, stride) / stride)
        values = []
        for before, after in pairwise(coarse):
            table = neighborhood_similarity(before, after)
            step = transition(table, model.temperature)
            if out is None:
                out = step
            else:
                out = out @ step
                back = transition(table.mT, model.temperature) @ back
            reached = _at_ends(out @ back, target, home.shape[-1])
            values.append(_mean_surprise(reached, weight, eps))
    return torch.stack(values).mean()


def direct(model: FlowNet, pair: Pair, config: FlowLossConfig, generator: Generator) -> Loss:
    """Loss of walks between views whose displacements are known, and what the error is.

    At each scale: -log of the probability around the true place (shared among the four nodes next
    to it), where that is seen and within reach, and the distance of the displacement found.
    """
    first = tinted(pair.first, config.views, generator)
    second = tinted(pair.second, config.views, generator)
    features = model.encoder(first), model.encoder(second)
    match = model.match(*features)
    walks, distances = [_global_ends(model, features[0][0], features[1][0], pair, config.eps)], []
    for stage in match.stages:
        truth = _shrink(pair.flow, stage.stride) / stage.stride
        seen = _shrink(pair.visible[:, None].float(), stage.stride)[:, 0] > 0.75
        walks.append(_known_ends(stage, truth, seen, config.eps))
        distances.append(_distance(stage.flow, truth, torch.ones_like(seen)) * stage.stride)
    distances.append(_distance(match.flow, pair.flow, pair.known))
    error = (match.flow - pair.flow).norm(dim=1).mean()
    metrics = {
        "epe_direct": error,
        "walk_direct": torch.stack(walks).mean(),
        "walk_global": walks[0],
    }
    distance = config.distance_weight * torch.stack(distances).mean()
    return torch.stack(walks).mean() + distance, metrics


def consistency(model: FlowNet, walk: Walk, config: FlowLossConfig, generator: Generator) -> Scalar:
    """Distance of what is found on changed views of the first two frames from what is known."""
    there, back = walk.forward[0].flow.detach(), walk.backward[0].flow.detach()
    first, second = walk.frames[:2]
    pair = changed(first, second, there, ~is_hidden(there, back), config.views, generator)
    match = model(
        tinted(pair.first, config.views, generator), tinted(pair.second, config.views, generator)
    )
    return config.distance_weight * _distance(match.flow, pair.flow, pair.known)


def smoothness(
    images: Float[Tensor, "b 3 h w"], flow: Float[Tensor, "b 2 h w"], edge: float
) -> Scalar:
    """Mean change of the slope of displacements, less where the image has an edge.

    ``mean exp(-edge |dI|) |d^2 w|`` along both axes.
    """
    total = flow.new_zeros(())
    for axis in (-1, -2):
        slope = flow.diff(dim=axis)
        bend = slope.diff(dim=axis).abs().sum(dim=1)
        change = images.diff(dim=axis).abs().mean(dim=1)
        steps = change.unfold(axis, 2, 1).amax(dim=-1)
        total = total + (torch.exp(-edge * steps) * bend).mean()
    return total


def _known_ends(
    stage: Stage,
    truth: Float[Tensor, "b 2 h w"],
    seen: Bool[Tensor, "b h w"],
    eps: float,
) -> Scalar:
    """-log P(true place) of walkers whose end is seen and within the window, by four nodes."""
    step = stage.step
    target = _ends(truth)
    side = 2 * step.radius + 1
    probability = torch.zeros_like(target[..., 0])
    for pixel, share in bilinear_shares(target):
        column, row = (pixel - step.center + step.radius).unbind(dim=-1)
        within = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        entry = (row * side + column).clamp(0, side**2 - 1)
        found = step.probability.gather(-1, entry.unsqueeze(-1)).squeeze(-1)
        probability = probability + share * found * within
    reach = (target - step.center).abs().amax(dim=-1) < step.radius
    counted = (seen.flatten(1) & reach).float()
    return (-torch.log(probability + eps) * counted).sum() / counted.sum().clamp(min=1)


def _global_ends(model: FlowNet, first: Maps, second: Maps, pair: Pair, eps: float) -> Scalar:
    """-log P(true place) of walkers at the coarsest level, which may go anywhere."""
    stride = pair.flow.shape[-1] // first.shape[-1]
    with torch.autocast(first.device.type, enabled=False):
        step = transition(neighborhood_similarity(first, second), model.temperature)
    seen = _shrink(pair.visible[:, None].float(), stride).flatten(1) > 0.75
    target = _ends(_shrink(pair.flow, stride) / stride)
    return _mean_surprise(_at_ends(step, target, first.shape[-1]), seen.float(), eps)


def _ends(flow: Float[Tensor, "b 2 h w"]) -> Float[Tensor, "b n 2"]:
    """Where each node goes, (x, y) in nodes."""
    places = grid((flow.shape[-2], flow.shape[-1]), flow.device)
    return places + rearrange(flow, "b xy h w -> b (h w) xy")


def _at_ends(
    step: Float[Tensor, "b n m"], target: Float[Tensor, "b n 2"], width: int
) -> Float[Tensor, "b n"]:
    """The probability of each row at its target, shared among the four nodes around it."""
    height = step.shape[-1] // width
    total = torch.zeros_like(target[..., 0])
    for pixel, share in bilinear_shares(target):
        x, y = pixel.unbind(dim=-1)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        column = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
        total = total + share * inside * step.gather(-1, column.unsqueeze(-1)).squeeze(-1)
    return total


def _mean_surprise(
    probability: Float[Tensor, "b n"], weight: Float[Tensor, "b n"], eps: float
) -> Scalar:
    """The weighted mean of -log(probability + eps)."""
    return (-torch.log(probability + eps) * weight).sum() / weight.sum().clamp(min=1)


def _distance(
    found: Float[Tensor, "b 2 h w"], truth: Float[Tensor, "b 2 h w"], known: Bool[Tensor, "b h w"]
) -> Scalar:
    distance = ((found - truth).square().sum(dim=1) + 1e-4).sqrt()
    return (distance * known).sum() / known.sum().clamp(min=1)


def _shrink(maps: Float[Tensor, "b c h w"], stride: int) -> Float[Tensor, "b c h2 w2"]:
    return functional.avg_pool2d(maps, stride)


def _draw_starts(
    weight: Float[Tensor, "b n"], count: int, generator: Generator
) -> Int64[Tensor, "b m"]:
    """Different pixels of each image, those with weight first."""
    draws = torch.rand(weight.shape, generator=generator, device=generator.device).to(weight)
    return (draws + 2 * (weight > 0)).topk(min(count, weight.shape[1]), dim=-1).indices

"""The loss of the multiscale walk: walkers come home at every scale.

Four terms. The *cycle* term is -log P(return) of walks along the frames of a clip and back, at
every scale (Eq. 3.4). The *direct* term is the walk whose end is known (Eq. 3.3): between two views
made from single frames. *Smoothness* lets displacements change at edges only; *consistency* holds
what is found on changed views of a clip to what is found, without gradient, on the clip itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.flow.model import FlowNet, Maps, Match, Stage
from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.flow.presets import FlowLossConfig
from scalable_binding.flow.views import Pair, changed, layered, tinted
from scalable_binding.walk.chain import palindromes
from scalable_binding.walk.losses import cycle_losses
from scalable_binding.walk.multiscale import grid, window_palindromes

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

    The coarsest scale compares all nodes with all; there the palindromes are those of `walk.chain`.
    At the others walkers go from window to window. Walkers that the forward-backward check finds
    about to be hidden at their first step take no part there.
    """
    coarse = [_nodes(features[0]) for features in walk.features]
    values = [cycle_losses(palindromes(coarse, model.temperature), eps=config.eps).losses.mean()]
    seen = ~is_hidden(walk.forward[0].flow, walk.backward[0].flow)
    for level in range(len(walk.forward[0].stages)):
        forward = [match.stages[level].step for match in walk.forward]
        backward = [match.stages[level].step for match in walk.backward]
        stride = walk.forward[0].stages[level].stride
        weight = _shrink(seen[:, None].float(), stride).flatten(1)
        starts = None
        if len(forward) > 1:
            starts = _draw_starts(weight, config.starts, generator)
            weight = weight.gather(1, starts)
        for returns in window_palindromes(forward, backward, starts):
            lost = -torch.log(returns + config.eps)
            values.append((lost * weight).sum() / weight.sum().clamp(min=1))
    return torch.stack(values).mean()


def direct(model: FlowNet, pair: Pair, config: FlowLossConfig, generator: Generator) -> Loss:
    """Loss of walks between views whose displacements are known, and what the error is.

    At each scale: -log of the probability around the true place (shared among the four nodes next
    to it), where that is seen and within reach, and the distance of the displacement found.
    """
    first = tinted(pair.first, config.views, generator)
    second = tinted(pair.second, config.views, generator)
    match = model(first, second)
    walks, distances = [], []
    for stage in match.stages:
        truth = _shrink(pair.flow, stage.stride) / stage.stride
        seen = _shrink(pair.visible[:, None].float(), stage.stride)[:, 0] > 0.75
        walks.append(_known_ends(stage, truth, seen, config.eps))
        distances.append(_distance(stage.flow, truth, torch.ones_like(seen)) * stage.stride)
    distances.append(_distance(match.flow, pair.flow, pair.known))
    error = (match.flow - pair.flow).norm(dim=1).mean()
    metrics = {"epe_direct": error, "walk_direct": torch.stack(walks).mean()}
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
    height, width = truth.shape[-2:]
    places = grid((height, width), truth.device)
    target = places + rearrange(truth, "b xy h w -> b (h w) xy")
    low = target.floor()
    share = target - low
    side = 2 * step.radius + 1
    probability = torch.zeros_like(target[..., 0])
    for right in (0, 1):
        for down in (0, 1):
            x, y = (low.long() + torch.tensor([right, down], device=low.device)).unbind(dim=-1)
            column, row = x - step.center[..., 0], y - step.center[..., 1]
            column, row = column + step.radius, row + step.radius
            within = (column >= 0) & (column < side) & (row >= 0) & (row < side)
            entry = (row * side + column).clamp(0, side**2 - 1)
            found = step.probability.gather(-1, entry.unsqueeze(-1)).squeeze(-1)
            weight = (share[..., 0] if right else 1 - share[..., 0]) * (
                share[..., 1] if down else 1 - share[..., 1]
            )
            probability = probability + weight * found * within
    reach = (target - step.center).abs().amax(dim=-1) < step.radius
    counted = (seen.flatten(1) & reach).float()
    return (-torch.log(probability + eps) * counted).sum() / counted.sum().clamp(min=1)


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


def _nodes(maps: Maps) -> Float[Tensor, "b n d"]:
    return rearrange(maps, "b d h w -> b (h w) d")

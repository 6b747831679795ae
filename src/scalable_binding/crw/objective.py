"""The loss of the contrastive random walk: walkers that leave must come home."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn

from scalable_binding.crw.views import cells_in_other_view, moved_views, patches
from scalable_binding.crw.walk_config import WalkConfig
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.chain import palindromes
from scalable_binding.walk.losses import cycle_losses, walk_loss

Nodes = Sequence[Float[Tensor, "b n d"]]
"""Unit vectors of each frame's nodes."""


def loss(
    model: nn.Module, batch: Mapping[str, Tensor], generator: Generator, config: WalkConfig
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """The mean over cycle lengths of -log P(home), and loss and accuracy of each length.

    ``L = 1/(T-1) sum_k L_cyc^k``, with ``L_cyc^k = -mean_i log P(X_2k = i | X_0 = i)`` (Eq. 3.4).
    The thesis sums; the mean keeps the learning rate independent of the clip's length.

    Args:
        model: an ``Encoder`` (or its distributed wrapper).
        batch: ``frames``, uint8 ``(b t 3 h w)``.
        generator: of crops, jitter and dropped edges.
        config: nodes and walks.
    """
    if config.nodes == "patches":
        frames, home, targets = _patch_nodes(model, batch["frames"], config, generator)
    else:
        frames, home, targets = _cell_nodes(model, batch["frames"], config, generator)
    returns = palindromes(frames, config.temperature, config.edge_dropout, generator, home)
    cycles = cycle_losses(returns, targets)
    total = cycles.losses.mean()
    metrics = {}
    if config.direct_weight > 0 and home is not None and targets is not None:
        step = transition(similarity(frames[0], home), config.temperature)
        direct = walk_loss(step, targets)
        total = total + config.direct_weight * direct.loss
        metrics = {"loss_direct": direct.loss, "accuracy_direct": direct.accuracy}
    for hops, (value, accuracy) in enumerate(zip(*cycles, strict=True), start=1):
        metrics |= {f"loss_{hops}": value, f"accuracy_{hops}": accuracy}
    return total, {name: value.detach() for name, value in metrics.items()}


def _patch_nodes(
    model: nn.Module, frames: Tensor, config: WalkConfig, generator: Generator
) -> tuple[Nodes, None, None]:
    cut = patches(frames, config.patches, generator)
    b, t = cut.shape[:2]
    images = rearrange(cut, "b t n c y x -> (b t n) c y x")
    vectors = model(images.contiguous(memory_format=torch.channels_last))
    nodes = rearrange(vectors, "(b t n) 1 d -> b t n d", b=b, t=t)
    return nodes.unbind(dim=1), None, None


def _cell_nodes(
    model: nn.Module, frames: Tensor, config: WalkConfig, generator: Generator
) -> tuple[Nodes, Float[Tensor, "b n d"], Int64[Tensor, "b n"]]:
    views, boxes = moved_views(frames, config.views, generator)
    b = views.shape[0]
    images = rearrange(views, "b t c y x -> (b t) c y x")
    vectors = model(images.contiguous(memory_format=torch.channels_last), pool=False)
    nodes = rearrange(vectors, "(b t) n d -> b t n d", b=b).unbind(dim=1)
    grid = math.isqrt(vectors.shape[1])  # as many cells as the network's stride makes of a view
    targets = cells_in_other_view(boxes[:, 0], boxes[:, -1], grid)
    return nodes[:-1], nodes[-1], targets.to(vectors.device)

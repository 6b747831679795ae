"""The loss: low for perfect features, finite, differentiable, a function of the generator."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference import walk as reference
from scalable_binding.crw import objective
from scalable_binding.crw.model import Encoder, draw
from scalable_binding.crw.walk_config import PatchConfig, ViewConfig, WalkConfig

PATCHES = WalkConfig(patches=PatchConfig(frame_size=48, size=16, stride=16))
CELLS = WalkConfig(nodes="cells", views=ViewConfig(size=32, shift=8.0), direct_weight=1.0)
BOTH = pytest.mark.parametrize("config", [PATCHES, CELLS], ids=["patches", "cells"])


class Places(nn.Module):
    """A network that sees nothing and knows each node by its number: the shortcut of 3.7.3."""

    def __init__(self, num_nodes: int) -> None:
        super().__init__()
        self.num_nodes = num_nodes

    def forward(self, images: Tensor, pool: bool = True) -> Tensor:
        table = torch.eye(self.num_nodes)
        if pool:
            return table.repeat(len(images) // self.num_nodes, 1).unsqueeze(1)
        return table.expand(len(images), -1, -1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(b: int = 2, t: int = 3, seed: int = 0) -> dict[str, Tensor]:
    shape = (b, t, 3, 56, 64)
    return {"frames": torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(seed))}


def encoder() -> Encoder:
    return draw(0, widths=(4, 8, 8), width=6)


@BOTH
@pytest.mark.parametrize("b", [1, 3])
def test_the_loss_is_finite_and_reaches_every_parameter(config: WalkConfig, b: int) -> None:
    model = encoder()
    loss, metrics = objective.loss(model, batch(b), seeded(), config)
    loss.backward()
    assert loss.shape == () and torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if name != "head.bias":
            assert parameter.grad.abs().sum() > 0, name
    assert not any(metric.requires_grad for metric in metrics.values())


@BOTH
def test_metrics_are_named_by_the_length_of_the_walk(config: WalkConfig) -> None:
    loss, metrics = objective.loss(encoder(), batch(t=4), seeded(), config)
    hops = {f"{kind}_{hop}" for kind in ("loss", "accuracy") for hop in (1, 2, 3)}
    direct = {"loss_direct", "accuracy_direct"} if config is CELLS else set()
    assert metrics.keys() == hops | direct
    mean = sum(metrics[f"loss_{hop}"] for hop in (1, 2, 3)) / 3
    total = mean + config.direct_weight * metrics.get("loss_direct", torch.tensor(0.0))
    torch.testing.assert_close(loss.detach(), total)


def test_perfect_features_have_no_loss() -> None:
    _, dropped = objective.loss(Places(9), batch(20), seeded(), PATCHES)
    assert abs(dropped["accuracy_1"] - 0.9**2) < 0.1, "both edges of the way home must be there"
    whole = WalkConfig(patches=PATCHES.patches, edge_dropout=0.0)
    loss, metrics = objective.loss(Places(9), batch(), seeded(), whole)
    assert loss < 1e-3
    assert metrics["accuracy_1"] == metrics["accuracy_2"] == 1.0


def test_features_that_tell_nothing_lose_as_chance_does() -> None:
    class Same(Places):
        def forward(self, images: Tensor, pool: bool = True) -> Tensor:
            return torch.ones_like(super().forward(images, pool)) / self.num_nodes**0.5

    loss, _ = objective.loss(Same(9), batch(), seeded(), PATCHES)
    assert abs(loss - math.log(9)) < 0.1


def test_the_loss_is_the_mean_over_palindromes_by_the_book() -> None:
    """Eq. 3.4 by loops over paths, on the very nodes that the encoder gave."""
    seen: list[Tensor] = []

    class Listening(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any, **named: Any) -> Tensor:
            seen.append(self.model(*given, **named))
            return seen[-1]

    whole = WalkConfig(patches=PATCHES.patches, edge_dropout=0.0)
    model = encoder().eval()
    loss, _ = objective.loss(Listening(model), batch(1), seeded(), whole)
    frames = seen[0].detach().unflatten(0, (3, 9))[:, :, 0]
    expected = [
        reference.walk_loss(reference.palindrome(frames, length, 0.07), torch.arange(9))[0]
        for length in (1, 2)
    ]
    assert abs(float(loss.detach()) - sum(expected) / 2) < 1e-3


def test_knowing_the_place_solves_still_views_but_not_moved_ones() -> None:
    """The shortcut of 3.7.3: without motion of the views, frames of noise are no obstacle."""
    still = WalkConfig(
        nodes="cells", edge_dropout=0.0, views=ViewConfig(size=32, shift=0.0, scale=0.0, color=0.0)
    )
    _, solved = objective.loss(Places(16), batch(), seeded(), still)
    assert solved["accuracy_1"] > 0.95 and solved["accuracy_2"] > 0.95
    _, finer = objective.loss(Places(64), batch(), seeded(), still)  # a stride of 4
    assert finer["accuracy_1"] > 0.95 and finer["accuracy_2"] > 0.95
    views = ViewConfig(size=32, shift=12.0, scale=0.2)
    moved = WalkConfig(nodes="cells", views=views)
    _, astray = objective.loss(Places(16), batch(8), seeded(), moved)
    assert astray["accuracy_1"] < 0.4 and astray["accuracy_2"] < 0.4


@BOTH
def test_the_loss_is_a_function_of_the_generator(config: WalkConfig) -> None:
    before = torch.get_rng_state()
    model = encoder().eval()
    first, again, other = (objective.loss(model, batch(), seeded(s), config)[0] for s in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@BOTH
def test_bfloat16_autocast_costs_little_precision(config: WalkConfig) -> None:
    model = encoder()
    exact, _ = objective.loss(model, batch(), seeded(), config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, metrics = objective.loss(model, batch(), seeded(), config)
    rounded.backward()
    assert rounded.dtype == torch.float32
    assert all(metric.dtype == torch.float32 for metric in metrics.values())
    assert abs(rounded - exact) < 0.05 * exact
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_walks_have_no_loss_where_no_node_has_a_target() -> None:
    """Views so small and far apart that they show nothing in common."""
    views = ViewConfig(size=8, shift=100.0, scale=0.0)
    config = WalkConfig(nodes="cells", views=views, direct_weight=1.0)
    model = encoder().eval()
    losses = []
    for seed in range(6):
        loss, _ = objective.loss(model, batch(1), seeded(seed), config)
        losses.append(float(loss.detach()))
    assert all(math.isfinite(loss) for loss in losses) and 0.0 in losses

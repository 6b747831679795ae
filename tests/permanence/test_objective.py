"""The loss: hidden positions stay out of it, weights and walks against slow versions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from permanence.clips import batch, network
from scalable_binding.permanence import objective, walkers
from scalable_binding.permanence.presets import LossConfig

GENERATOR = torch.Generator()


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("config", [LossConfig(), LossConfig(restart=2, tolerance=1.5)])
def test_hidden_positions_never_enter_the_loss(config: LossConfig) -> None:
    """With NaN, infinity or nonsense in place of every hidden box, nothing changes to the bit."""
    clean = batch()
    unknown = ~(clean["visible"] & clean["exists"][:, None])
    values, slopes = [], []
    for poison in (None, torch.nan, torch.inf, -1e30):
        poisoned = dict(clean)
        if poison is not None:
            poisoned["boxes"] = clean["boxes"].masked_fill(unknown[..., None], poison)
        model = network().train()
        value, metrics = objective.loss(model, poisoned, GENERATOR, config)
        value.backward()
        assert torch.isfinite(value) and all(torch.isfinite(m) for m in metrics.values())
        values.append(value.detach())
        slopes.append(gradients(model))
    for value, slope in zip(values[1:], slopes[1:], strict=True):
        assert torch.equal(value, values[0])
        assert all(torch.equal(a, b) for a, b in zip(slope, slopes[0], strict=True))
        assert all(bool(torch.isfinite(grad).all()) for grad in slope)


def test_visible_positions_do_enter_the_loss() -> None:
    clean = batch()
    moved = dict(clean, boxes=clean["boxes"] + 3)
    first, second = (
        objective.loss(network(), each, GENERATOR, LossConfig())[0] for each in (clean, moved)
    )
    assert not torch.equal(first, second)


def test_the_weight_grows_with_the_occlusion_just_passed() -> None:
    seen = torch.tensor([1, 0, 0, 1, 1, 0, 1]).bool()
    found = objective.occlusion_weights(seen.view(1, 7, 1), 20.0)
    assert found.flatten().tolist() == [1, 0, 0, 41, 1, 0, 21]


def test_the_walks_loss_is_the_slow_one() -> None:
    """Object by object and frame by frame, with gamma and the weights written out."""
    config = LossConfig(gamma=2.0, occlusion_weight=3.0)
    generator = torch.Generator().manual_seed(2)
    path = torch.rand(1, 4, 2, 3, 4, generator=generator).double()
    path = path / path.sum((-2, -1), keepdim=True)
    center = torch.tensor([[[1.0, 1.0], [2.25, 0.5]]] * 4)[None].double()
    visible = torch.tensor([[1, 1], [0, 1], [1, 1], [1, 0]]).bool()[None]
    total = weights = 0.0
    for o in range(2):
        hidden = 0
        for t in range(4):
            if not visible[0, t, o]:
                hidden += 1
                continue
            weight, hidden = 1 + 3.0 * hidden, 0
            if t == 0:
                continue
            truth = walkers.start(center[:, t], 3, 4)[0, o]
            surprise = reached = 0.0
            for y in range(3):
                for x in range(4):
                    if truth[y, x] > 0:
                        surprise -= float(truth[y, x]) * math.log(float(path[0, t, o, y, x]) + 1e-8)
                        reached += float(path[0, t, o, y, x])
            total += weight * (1 - reached) ** 2 * surprise
            weights += weight
    value, _ = objective.walk_loss(path, center, visible, [0], config)
    assert float(value) == pytest.approx(total / weights)


def test_mass_within_the_tolerance_costs_nothing() -> None:
    center = torch.tensor([2.0, 2.0]).view(1, 1, 1, 2).repeat(1, 2, 1, 1)
    visible = torch.ones(1, 2, 1, dtype=torch.bool)
    path = torch.zeros(1, 2, 1, 5, 5)
    path[..., 2, 2], path[..., 2, 3] = 0.25, 0.75
    lenient = objective.walk_loss(path, center, visible, [0], LossConfig(tolerance=1.5))[0]
    strict = objective.walk_loss(path, center, visible, [0], LossConfig())[0]
    assert float(lenient) == pytest.approx(0, abs=1e-6) and float(strict) > 0.5


def test_walkers_count_only_where_they_set_out_seen() -> None:
    visible = torch.tensor([[1, 0], [1, 1], [1, 1]]).bool()[None]
    center = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    path = torch.full((1, 3, 2, 4, 4), 1 / 16)
    both, _ = objective.walk_loss(path, center, visible, [0], LossConfig())
    changed = path.clone()
    changed[:, :, 1] = 0  # the second object is hidden in the first frame
    assert torch.equal(objective.walk_loss(changed, center, visible, [0], LossConfig())[0], both)


def test_a_perfect_detection_costs_little_and_a_wrong_one_more() -> None:
    model = network()
    readings = model(batch()["frames"])
    center = torch.tensor([3.0, 4.0]).view(1, 1, 1, 2).expand(2, 5, 1, 2)
    extent = torch.full((2, 5, 1, 2), 2.0)
    visible = torch.ones(2, 5, 1, dtype=torch.bool)
    heat = torch.full_like(readings.heat, -12.0)
    heat[..., 4, 3] = 12.0
    perfect = replace(
        readings,
        heat=heat,
        offset=torch.zeros_like(readings.offset),
        size=torch.full_like(readings.size, math.log(2.0)),
    )
    good = objective.detection_loss(perfect, center, extent, visible)
    bad = objective.detection_loss(perfect, center + 2, extent, visible)
    assert float(good) < 1e-4 and float(bad) > 1

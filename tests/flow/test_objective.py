"""The loss: what each term says of walks that are known to be right or wrong."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from flow.small import network, shifted
from scalable_binding.errors import UserError
from scalable_binding.flow import objective
from scalable_binding.flow.model import Stage
from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.flow.presets import FlowLossConfig, FlowViewConfig
from scalable_binding.walk.multiscale import WindowStep, grid

CONFIG = FlowLossConfig(views=FlowViewConfig(size=64, shift=8.0), starts=16)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def clip(num_frames=2, size=(64, 64)):
    frames = [shifted(3 * t, 0, size, seed=1)[1] for t in range(num_frames)]
    other = [shifted(0, 2 * t, size, seed=2)[1] for t in range(num_frames)]
    return {"frames": torch.stack([torch.stack(frames), torch.stack(other)])}


@pytest.mark.parametrize("num_frames", [2, 3, 4])
def test_every_term_is_finite_and_has_a_gradient(num_frames):
    net = network().train()
    total, metrics = objective.loss(net, clip(num_frames), generator(), CONFIG)
    terms = {"loss_direct", "loss_cycle", "loss_smooth", "loss_consistency"}
    assert terms | {"epe_direct", "walk_direct", "walk_global"} == metrics.keys()
    assert all(math.isfinite(float(value)) for value in metrics.values())
    total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("left_out", ["cycle", "direct", "smooth", "consistency"])
def test_a_term_without_weight_is_not_computed(left_out):
    config = replace(CONFIG, **{f"{left_out}_weight": 0.0})
    _, metrics = objective.loss(network(), clip(), generator(), config)
    assert f"loss_{left_out}" not in metrics and len(metrics) >= 3


def test_clips_are_learned_from_in_every_batch_where_nothing_else_is():
    config = replace(CONFIG, direct_weight=0.0, clip_rate=0.01)
    total, _ = objective.loss(network().train(), clip(), generator(), config)
    assert total.requires_grad and total.item() > 0
    nothing = {f"{name}_weight": 0.0 for name in ("cycle", "direct", "smooth", "consistency")}
    with pytest.raises(UserError, match="direct_weight: expected some weight above 0, or another"):
        replace(CONFIG, **nothing)


def test_the_loss_is_a_function_of_the_generator():
    first, again, other = (
        objective.loss(network(), clip(), generator(seed), CONFIG)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_walks_on_identical_frames_come_home_and_on_noise_they_do_not():
    same = shifted(0, 0, (64, 64), seed=1)[None].float() / 255
    noise = torch.rand(1, 2, 3, 64, 64, generator=generator())
    net = network(temperature=0.002)
    unmoved = FlowViewConfig(size=48, shift=0.0, turn=0.0, scale=0.0, color=0.0)
    config = replace(CONFIG, views=unmoved)
    losses = [
        objective.cycle(net, objective.walk_along(net, frames), config, generator())
        for frames in (same, noise)
    ]
    assert losses[0] < 0.5 and losses[1] > 2 * losses[0]


def test_a_slope_is_smooth_and_a_step_is_not_unless_the_image_has_an_edge():
    image = torch.zeros(1, 3, 8, 8)
    edge = image.clone()
    edge[..., 4:] = 1
    slope = torch.arange(8.0).expand(1, 2, 8, 8)
    step = (slope >= 4).float()
    assert objective.smoothness(image, slope, 10.0) < 1e-6
    assert objective.smoothness(image, step, 10.0) > 0.1
    assert objective.smoothness(edge, step, 10.0) < 1e-3


def known_end(probability, truth, radius=1, size=(3, 3), eps=1e-3):
    """The loss of a stage whose walkers all have the same probabilities in their windows."""
    n = size[0] * size[1]
    step = WindowStep(probability.expand(1, n, -1), grid(size).expand(1, -1, -1), size)
    nothing = torch.zeros(1, 2, *size)
    stage = Stage(step, nothing, nothing, nothing, 4)
    flow = torch.tensor(truth).view(1, 2, 1, 1).expand(1, 2, *size)
    seen = torch.ones(1, *size, dtype=torch.bool)
    return float(objective._known_ends(stage, flow, seen, eps))


def test_the_known_end_is_shared_among_the_four_nodes_around_it():
    probability = torch.tensor([0.0, 0, 0, 0, 0.6, 0.4, 0, 0, 0])  # stays, or goes to the right
    assert known_end(probability, (0.0, 0.0)) == pytest.approx(-math.log(0.601), abs=1e-5)
    expected = -math.log(0.75 * 0.6 + 0.25 * 0.4 + 1e-3)
    assert known_end(probability, (0.25, 0.0)) == pytest.approx(expected, abs=1e-5)
    assert known_end(probability, (0.0, 0.5)) == pytest.approx(-math.log(0.3 + 1e-3), abs=1e-5)


def test_an_end_out_of_reach_has_no_part():
    probability = torch.full((9,), 1 / 9)
    assert known_end(probability, (5.0, 0.0)) == 0


def test_the_forward_backward_check():
    there = torch.zeros(1, 2, 8, 12)
    there[:, 0] = 4.0
    back = -there
    hidden = is_hidden(there, back)
    assert hidden[..., 8:].all() and not hidden[..., :8].any()  # the right end leaves the image
    back[:, 0, :, 6] = 0.0
    assert is_hidden(there, back)[0, :, 2].all()
    assert is_hidden(there, back).sum() == hidden.sum() + 8

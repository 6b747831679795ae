"""The network: what it gives, that it is a walk at first, and its weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from flow.small import network, shifted
from scalable_binding.errors import UserError
from scalable_binding.flow import matching, model
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.multiscale import grid


def images(right=0, down=0):
    return shifted(right, down)[:, None].float() / 255


def test_levels_go_from_coarse_to_fine():
    first, second = images(4, 0)
    match = network()(first, second)
    assert match.flow.shape == (1, 2, 64, 96)
    assert [stage.stride for stage in match.stages] == [16, 8, 4]
    assert [tuple(stage.flow.shape[-2:]) for stage in match.stages] == [(4, 6), (8, 12), (16, 24)]
    for stage in match.stages:
        assert stage.step.probability.shape[-1] == 25
        torch.testing.assert_close(
            stage.step.probability.sum(-1), torch.ones(1, stage.flow[0, 0].numel())
        )


def test_features_are_unit_vectors():
    for level in network().encoder(images()[0]):
        torch.testing.assert_close(level.norm(dim=1), torch.ones_like(level[:, 0]))


def test_the_head_changes_nothing_before_training():
    first, second = images(8, 4)
    with_head, without = network(head=8)(first, second), network(head=0)(first, second)
    for ours, plain in zip(with_head.stages, without.stages, strict=True):
        torch.testing.assert_close(ours.flow, ours.walked)
        torch.testing.assert_close(ours.flow, plain.flow)


def test_windows_that_cover_the_image_make_every_level_a_full_softmax():
    first, second = images(8, 4)
    net = network(radius=24, head=0)
    a, b = net.encoder(first), net.encoder(second)
    match = net.match(a, b)
    for stage, left, right in zip(match.stages, a, b, strict=True):
        size = left.shape[-2:]
        rows, columns = (maps.flatten(2).mT for maps in (left, right))
        full = transition(similarity(rows, columns), net.temperature)
        expected = full @ grid(size).float() - grid(size)
        torch.testing.assert_close(stage.walked.flatten(2).mT, expected, atol=1e-3, rtol=0)
        for row in (0, 7, -1):
            found = stage.step.probability[0, row]
            torch.testing.assert_close(
                found[found > 0].sort().values, full[0, row].sort().values, atol=1e-6, rtol=0
            )


def test_the_same_image_does_not_move():
    first, _ = images()
    match = network(head=0, temperature=0.005)(first, first)
    assert match.flow.abs().mean() < 0.3


def test_the_search_finds_a_shift_of_whole_nodes_however_large():
    generator = torch.Generator().manual_seed(0)
    a = functional.normalize(torch.randn(1, 32, 6, 12, generator=generator), dim=1)
    found = matching.global_displacement(a, a.roll((-3, 7), dims=(2, 3)), 2, 0.02)
    expected = torch.tensor([7.0, -3.0]).view(2, 1, 1).expand(2, 3, 5)
    torch.testing.assert_close(found[0, :, 3:, :5], expected, atol=0.01, rtol=0)


def test_neighborhoods_are_compared_as_if_their_features_lay_side_by_side():
    generator = torch.Generator().manual_seed(0)
    a, b = (functional.normalize(torch.randn(2, 8, 5, 7, generator=generator), dim=1) for _ in "ab")
    rows, columns = (
        functional.normalize(functional.unfold(maps, 5, padding=2), dim=1).mT for maps in (a, b)
    )
    expected = similarity(rows, columns)
    torch.testing.assert_close(matching.neighborhood_similarity(a, b), expected)
    part = matching.neighborhood_similarity(a, b, slice(3, 5))
    torch.testing.assert_close(part, expected[:, 21:])


def test_more_steps_at_a_level_move_the_windows():
    first, second = images(8, 4)
    once, twice = network()(first, second), network(iterations=(1, 2, 1))(first, second)
    assert [stage.stride for stage in twice.stages] == [16, 8, 8, 4]
    torch.testing.assert_close(twice.stages[2].base, once.stages[1].flow)


def test_rows_of_the_search_may_be_taken_a_few_at_a_time(monkeypatch):
    first, second = images(16, 0)
    net = network()
    a, b = net.encoder(first)[0], net.encoder(second)[0]
    whole = matching.global_displacement(a, b, 2, 0.07)
    monkeypatch.setattr(matching, "MAX_SIMILARITIES", 50)
    torch.testing.assert_close(matching.global_displacement(a, b, 2, 0.07), whole)


def test_pixels_take_a_weighted_mean_of_the_nodes_around():
    net = network()
    flow = torch.ones(1, 2, 3, 4) * torch.tensor([2.0, -1.0])[None, :, None, None]
    whole = net.head.upsample(flow, torch.randn(1, 8, 3, 4))
    assert whole.shape == (1, 2, 12, 16)
    torch.testing.assert_close(whole[0, :, 5, 5], torch.tensor([2.0, -1.0]))


def test_weights_come_back(tmp_path: Path):
    net = network()
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.arguments(net)))
    first, second = images(4, 0)
    loaded = model.load(tmp_path)
    assert torch.equal(loaded(first, second).flow, net(first, second).flow)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "is missing"),
        ("{", "cannot be read"),
        ("{}", "does not describe"),
        (
            '{"widths": [1], "width": 2, "radius": 1, "peak": 1, "temperature": 1, "head": 0}',
            "does",
        ),
        (
            '{"widths": [8, 12, 16, 32], "width": 16, "radius": 2, "peak": 2, "temperature": 0.07,'
            ' "head": 8}',
            "another architecture",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, settings, said):
    save_file(network().state_dict(), tmp_path / "model.safetensors")
    if settings is not None:
        (tmp_path / "config.json").write_text(settings)
    with pytest.raises(UserError, match=said):
        model.load(tmp_path)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again = network(3), network(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.encoder.stem.weight, again.encoder.stem.weight)
    assert not torch.equal(first.encoder.stem.weight, network(4).encoder.stem.weight)


def test_gradients_reach_every_weight():
    net = network().train()
    torch.nn.init.normal_(net.head.correction.weight, std=0.01)
    first, second = images(8, 4)
    match = net(first, second)
    home = torch.stack([stage.step.probability.square().mean() for stage in match.stages]).sum()
    (functional.l1_loss(match.flow, torch.zeros_like(match.flow)) + home).backward()
    missing = [name for name, p in net.named_parameters() if p.grad is None]
    assert not missing

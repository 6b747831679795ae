"""Views whose displacements are known: what is said to move there does so."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from flow.small import shifted, texture
from scalable_binding.flow.presets import FlowViewConfig
from scalable_binding.flow.views import changed, layered, tinted

CONFIG = FlowViewConfig(size=64, shift=12.0, layers=2)


def frames(count=3, size=96):
    return torch.stack([texture(size, size, seed) for seed in range(count)]).float() / 255


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mismatch(pair, where):
    """Mean difference of a pixel's color from that at its end, and from that at its place."""
    size = pair.first.shape[-1]
    y, x = torch.meshgrid(*[torch.arange(size).float()] * 2, indexing="ij")
    target = torch.stack([x, y], dim=-1) + pair.flow.movedim(1, -1)
    there = functional.grid_sample(
        pair.second, (2 * target + 1) / size - 1, padding_mode="border", align_corners=False
    )
    return tuple(
        float((colors - pair.first).abs().mean(dim=1)[where].mean())
        for colors in (there, pair.second)
    )


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_pixels_are_found_where_they_are_said_to_be(layers):
    config = FlowViewConfig(size=64, shift=12.0, layers=layers)
    pair = layered(frames(), config, generator(layers))
    matched, still = mismatch(pair, pair.visible)
    assert matched < 0.02 and matched < still / 4


def test_hidden_pixels_are_covered_or_outside():
    pair = layered(frames(), CONFIG, generator())
    hidden = ~pair.visible
    assert 0.02 < hidden.float().mean() < 0.7
    matched, _ = mismatch(pair, hidden)
    assert matched > 4 * mismatch(pair, pair.visible)[0]


def test_without_motion_nothing_moves():
    config = FlowViewConfig(size=64, shift=0.0, turn=0.0, scale=0.0, layers=1)
    pair = layered(frames(), config, generator())
    assert pair.flow.abs().max() < 1e-4
    torch.testing.assert_close(pair.first, pair.second, atol=1e-4, rtol=0)
    assert pair.visible.all()


def test_the_largest_shift_is_kept():
    config = FlowViewConfig(size=64, shift=12.0, turn=0.0, scale=0.0, bend=0.0, layers=0)
    pair = layered(frames(8), config, generator())
    lengths = pair.flow.norm(dim=1).amax(dim=(1, 2))
    assert (lengths <= 12.01).all() and (lengths >= 0.74).all()


def test_a_known_displacement_is_carried_over_to_changed_views():
    first, second = shifted(5, -3, size=(96, 96)).float()[:, None] / 255
    truth = torch.tensor([5.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 96, 96)
    reliable = torch.ones(1, 96, 96, dtype=torch.bool)
    for seed in range(3):
        pair = changed(first, second, truth, reliable, CONFIG, generator(seed))
        matched, still = mismatch(pair, pair.visible)
        assert matched < 0.02 and matched < still / 3
        assert pair.flow.norm(dim=1).mean() < 30


def test_what_is_not_reliable_is_not_known():
    first, second = frames(2)[:, None]
    reliable = torch.ones(1, 96, 96, dtype=torch.bool)
    reliable[:, :, :48] = False
    pair = changed(first, second, torch.zeros(1, 2, 96, 96), reliable, CONFIG, generator())
    assert 0.2 < pair.known.float().mean() < 0.8


def test_tints_change_colors_by_image_and_stay_in_range():
    plain = frames()
    found = tinted(plain, CONFIG, generator())
    assert found.min() >= 0 and found.max() <= 1
    assert len({round(float(change), 4) for change in (found - plain).mean(dim=(1, 2, 3))}) == 3
    still = FlowViewConfig(size=64, color=0.0)
    assert torch.equal(tinted(plain, still, generator()), plain)


def test_views_are_a_function_of_the_generator():
    first, again = (layered(frames(), CONFIG, generator(5)) for _ in range(2))
    assert torch.equal(first.flow, again.flow) and torch.equal(first.second, again.second)

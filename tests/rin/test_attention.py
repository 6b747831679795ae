"""Attention is counted as loops count it, and read from the process that makes the samples."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rin import untrained
from scalable_binding.diffusion.samplers import last
from scalable_binding.rin import attention, inference, prediction
from scalable_binding.rin.inference import SamplingConfig

FEW = SamplingConfig(steps=5)


def test_entropy_is_one_for_uniform_maps_and_zero_for_one_token() -> None:
    maps = torch.tensor([[0.25] * 4, [0, 0, 1.0, 0], [0.5, 0.5, 0, 0]])
    torch.testing.assert_close(attention.entropy(maps), torch.tensor([1.0, 0.0, 0.5]))


def test_concentration_compares_with_uniform_reading() -> None:
    maps = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [0.25] * 4, [0.25] * 4])
    regions = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0], [0] * 4, [1] * 4]).bool()
    # .7 where uniform is .5; .1 where it is .25; the last two tell nothing.
    found = attention.concentration(maps[None, :, None], regions)
    torch.testing.assert_close(found, torch.tensor([[(1.4 + 0.4) / 2]]))
    nothing = attention.concentration(maps[None, 2:, None], regions[2:])
    assert nothing.isnan().all()


def test_maps_are_averaged_over_latents() -> None:
    blocks = [torch.rand(2, 3, 4).softmax(-1) for _ in range(2)]
    found = attention.average(blocks)
    assert found.shape == (2, 2, 4)
    torch.testing.assert_close(found[1, 0], blocks[0][1].mean(0))


@pytest.mark.parametrize("size", [(8, 12), (12,)])
def test_detail_is_the_deviation_around_a_patch(size: tuple[int, ...]) -> None:
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    images[..., -6:] = 0.5
    grid = tuple(side // 4 for side in size)
    found = attention.detailed(images, grid)
    for number, image in enumerate(images.mean(1)):
        details = []
        for place in torch.cartesian_prod(*(torch.arange(count) for count in grid)).view(
            -1, len(grid)
        ):
            box = image
            for axis, (index, side) in enumerate(zip(place.tolist(), size, strict=True)):
                around = torch.arange(4 * index - 1, 4 * index + 5).clamp(0, side - 1)
                box = box.index_select(axis, around)
            details.append(box.std(correction=0))
        detail = torch.stack(details)
        assert torch.equal(found[number], detail > detail.mean())


def test_tokens_change_where_a_pixel_moves() -> None:
    video = torch.zeros(1, 1, 4, 8, 8)
    video[0, 0, 0:2, 1, 1] = 0.5  # gone in frame 2: seen by the second pair of frames
    video[0, 0, 1:, 6, 6] = 0.5  # there from frame 1 on: seen by the first pair
    video[0, 0, :, 1, 6] += torch.linspace(0, 0.2, 4)  # too slow to count
    found = attention.changing(video, (2, 2, 2)).view(2, 2, 2)
    expected = torch.zeros(2, 2, 2, dtype=torch.bool)
    expected[1, 0, 0] = expected[0, 1, 1] = True
    assert torch.equal(found, expected)


def test_reading_is_that_of_the_samples() -> None:
    images = untrained.images()
    reading = attention.read(images, 3, FEW, classes=[2], num_shown=3)
    assert reading.maps.shape == (5, 3, 2, 16)
    torch.testing.assert_close(reading.maps.sum(-1), torch.ones(5, 3, 2))
    assert list(reading.times) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])
    assert list(reading.shown) == [0, 2, 4] and reading.seen.shape == (3, 3, 1, 8, 8)
    samples = inference.pictures(images, last(inference.sample(images, 3, FEW, classes=[2])))
    assert torch.equal(reading.samples, samples) and torch.equal(reading.seen[-1], samples)
    assert reading.entropy.shape == reading.concentration.shape == (5, 2)
    assert (reading.entropy <= 1).all() and (reading.entropy > 0).all()
    pairs = zip(reading.maps[1, :, 0], reading.regions, strict=True)
    ratios = [shares[region].sum() / region.float().mean() for shares, region in pairs]
    torch.testing.assert_close(reading.concentration[1, 0], torch.stack(ratios).mean())


def test_guided_reading_is_that_of_the_half_that_knows_the_class() -> None:
    images = untrained.images()
    single = SamplingConfig(steps=1)
    plain = attention.read(images, 2, single, classes=[2])
    guided = attention.read(images, 2, replace(single, guidance=2.0), classes=[2])
    torch.testing.assert_close(plain.maps, guided.maps)


def test_reading_of_a_video_covers_the_given_frames() -> None:
    videos = untrained.videos()
    frames = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    context = prediction.open_context(videos, frames)[None].expand(2, -1, -1, -1, -1)
    reading = attention.read(videos, 2, FEW, context=context)
    assert reading.samples.shape == (2, 1, 6, 8, 8)
    assert not reading.samples[:, :, :2].any()
    assert reading.maps.shape == (5, 2, 2, 12) and reading.regions.shape == (2, 12)


def test_progress_is_told() -> None:
    steps: list[Tensor | int] = []
    attention.read(untrained.images(), 1, FEW, watch=lambda first, state: steps.append(state.step))
    assert steps == [0, 1, 2, 3, 4]

"""Flow of pairs and videos: sizes, borders, memory, and what cannot be used."""

from __future__ import annotations

import itertools

import pytest
import torch

from flow.small import network, shifted, texture
from scalable_binding.errors import UserError
from scalable_binding.flow.inference import estimate, estimate_video


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (64, 96), (100, 33)])
def test_maps_have_the_frames_size(size):
    frames = shifted(2, 0, size)
    found = estimate(frames[0], frames[1], network())
    assert found.flow.shape == (2, *size)
    assert found.hidden.shape == found.confidence.shape == size
    assert found.flow.isfinite().all()
    assert found.confidence.min() >= 0 and found.confidence.max() <= 1


def test_a_video_gives_the_flow_of_each_pair_while_it_comes():
    frames = torch.stack([texture(48, 64, seed) for seed in range(4)])
    asked = []

    def camera():
        for number in itertools.count():
            asked.append(number)
            yield frames[number % 4]

    net = network()
    video = estimate_video(camera(), net)
    first, second = next(video), next(video)
    assert asked == [0, 1, 2]
    torch.testing.assert_close(first.flow, estimate(frames[0], frames[1], net).flow)
    torch.testing.assert_close(second.flow, estimate(frames[1], frames[2], net).flow)


def test_walkers_are_sure_on_identical_frames_only():
    net = network(temperature=0.005)
    first, second = texture(64, 96, 0), texture(64, 96, 1)
    same, other = estimate(first, first, net), estimate(first, second, net)
    assert same.confidence.mean() > 0.8 > 2 * other.confidence.mean()
    assert same.hidden.float().mean() < 0.2
    assert other.hidden.float().mean() > 0.2


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([(48, 64), (48, 65)], "frame 1 differs in size from the first: expected 48 x 64"),
        ([(48, 64)], "at least two"),
        ([], "at least two"),
        ([(15, 64), (15, 64)], "at least 16 pixels"),
    ],
)
def test_frames_that_make_no_pair_are_refused(sizes, said):
    with pytest.raises(UserError, match=said):
        list(estimate_video((texture(*size) for size in sizes), network()))

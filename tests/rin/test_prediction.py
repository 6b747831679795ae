"""Futures start after clean context frames, go on window by window, and differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rin import untrained
from scalable_binding.errors import UserError
from scalable_binding.rin import prediction
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.inference import Pretrained, SamplingConfig
from scalable_binding.rin.prediction import predict

FEW = SamplingConfig(steps=3)


@pytest.fixture
def videos() -> Pretrained:
    return untrained.videos(DiffusionConfig(scale=0.5))


def gray(*levels: int, size: int = 8) -> Tensor:
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, size, size)


def watched(pretrained: Pretrained, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """All that the network is given from now on."""
    given: list[Tensor] = []
    honest = pretrained.model.forward

    def forward(x: Tensor, gamma: Tensor, **named: Any) -> Any:
        given.append(x.clone())
        return honest(x, gamma, **named)

    monkeypatch.setattr(pretrained.model, "forward", forward)
    return given


def test_context_is_clean_and_held_fixed(
    videos: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watched(videos, monkeypatch)
    (future,) = predict(videos, gray(9, 255, 0), 2, FEW)
    assert future.shape == (2, 1, 4, 8, 8) and future.dtype == torch.uint8
    assert [x.shape for x in given] == [(2, 1, 6, 8, 8)] * 3
    for x in given:
        # The last two frames, 255 and 0, in +-b.
        torch.testing.assert_close(x[:, :, 0], torch.full((2, 1, 8, 8), 0.5))
        torch.testing.assert_close(x[:, :, 1], torch.full((2, 1, 8, 8), -0.5))
    assert float(given[0][:, :, 2:].std()) == pytest.approx(1, abs=0.15)


def test_long_futures_go_on_from_their_own_last_frames(
    videos: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watched(videos, monkeypatch)
    windows = list(predict(videos, gray(10, 20), 2, FEW, num_frames=10))
    assert [window.shape[2] for window in windows] == [4, 4, 2]
    for number, window in enumerate(windows[:-1], start=1):
        shown = ((given[3 * number][:, :, :2] + 0.5) * 255).round().byte()
        assert torch.equal(shown, window[:, :, -2:])
    noise = [given[3 * number][:, :, 2:] for number in range(3)]
    assert not torch.equal(noise[0], noise[1]) and not torch.equal(noise[1], noise[2])


def test_futures_differ_and_do_not_depend_on_how_many_there_are(videos: Pretrained) -> None:
    def run(num: int, batch_size: int) -> Tensor:
        config = replace(FEW, batch_size=batch_size)
        return torch.cat(list(predict(videos, gray(10, 20), num, config, num_frames=6)), dim=2)

    many, few, one_by_one = run(5, 64), run(2, 64), run(5, 1)
    assert int((many[0].int() - many[1].int()).abs().max()) > 20
    assert int((many[:2].int() - few.int()).abs().max()) <= 1
    assert int((many.int() - one_by_one.int()).abs().max()) <= 1


def test_progress_is_told(videos: Pretrained) -> None:
    seen: list[tuple[int, int]] = []
    list(
        predict(
            videos,
            gray(1, 2),
            1,
            FEW,
            num_frames=5,
            watch=lambda done, state: seen.append((done, state.step)),
        )
    )
    assert seen == [(0, 0), (0, 1), (0, 2), (4, 0), (4, 1), (4, 2)]


def test_networks_of_colors_get_colors() -> None:
    pretrained = untrained.videos(channels=3)
    frames = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    frames[:, 1] = 255
    context = prediction.open_context(pretrained, frames)
    assert context.shape == (3, 2, 8, 8)
    assert context.mean((1, 2, 3)).tolist() == [-1, 1, -1]


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (gray(1), "video: expected at least 2 frames, the context of the network, got 1"),
        (gray(1, 2, size=16), "video: expected 8 x 8 pixels.*got 16 x 16; resize it"),
    ],
)
def test_videos_that_do_not_fit_are_refused(videos: Pretrained, frames: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=words):
        next(predict(videos, frames, 1, FEW))


def test_networks_that_do_not_predict_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.context above 0"):
        next(predict(untrained.videos(context=0), gray(1, 2), 1, FEW))
    with pytest.raises(UserError, match="at least 1"):
        next(predict(untrained.videos(), gray(1, 2), 0, FEW))


@pytest.mark.parametrize(("height", "width"), [(20, 41), (41, 20), (6, 7), (8, 8)])
def test_frames_are_cut_to_the_shape_of_the_network(height: int, width: int) -> None:
    ramp = torch.linspace(0, 255, width).expand(2, 3, height, width).byte()
    fitted = prediction.crop_and_resize(ramp, 8, 8)
    assert fitted.shape == (2, 3, 8, 8)
    middle = fitted[..., 3:5].float().mean()
    assert float(middle) == pytest.approx(127, abs=20)
    assert (fitted[0, 0, 0].int().diff() > 0).all()

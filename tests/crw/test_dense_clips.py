"""What the dense walk is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scalable_binding.crw.dense_clips import DenseClips, draw_rates
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.presets import ClipConfig
from scalable_binding.data.datasets.frame_store import StoredVideo
from scalable_binding.errors import UserError

CLIPS = ClipConfig(num_frames=3, fps=8.0, size=40, crop=None)


def still(folder: Path, num_frames: int, root: int = 0) -> StoredVideo:
    """A video whose frame k is of gray value k."""
    path = folder / f"{root}-{num_frames}.npy"
    frames = np.arange(num_frames, dtype=np.uint8)[:, None, None, None]
    np.save(path, np.broadcast_to(frames, (num_frames, 40, 60, 3)))
    return StoredVideo(path, root, num_frames)


def test_an_item_is_a_function_of_its_index(tmp_path: Path) -> None:
    clips = DenseClips([still(tmp_path, 30)], CLIPS, DenseWalkConfig(view=24), seed=1)
    first, again, other = clips[5], clips[5], clips[6]
    assert first["views"].shape == (4, 3, 24, 24) and first["windows"].shape == (4, 4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["windows"], other["windows"])


def test_frames_are_in_order_and_the_first_comes_twice(tmp_path: Path) -> None:
    config = DenseWalkConfig(view=24, max_gap=2)
    clips = DenseClips([still(tmp_path, 30)], CLIPS, config, seed=1)
    gaps = set()
    for index in range(40):
        levels = clips[index]["views"].float().mean(dim=(1, 2, 3)).round().long()
        assert levels[3] == levels[0]
        gaps |= set(levels[:3].diff().tolist())
    assert gaps == {1, 2}


def test_clips_are_played_backward_too(tmp_path: Path) -> None:
    config = ClipConfig(num_frames=3, size=40, crop=None, reverse=True)
    clips = DenseClips([still(tmp_path, 30)], config, DenseWalkConfig(view=24), seed=1)
    forward = [
        bool(clips[index]["views"][1].float().mean() > clips[index]["views"][0].float().mean())
        for index in range(40)
    ]
    assert 8 < sum(forward) < 32


def test_a_short_video_is_shown_with_smaller_gaps(tmp_path: Path) -> None:
    clips = DenseClips([still(tmp_path, 3)], CLIPS, DenseWalkConfig(view=24, max_gap=3), seed=1)
    assert clips[0]["views"].float().mean(dim=(1, 2, 3)).round().tolist() == [0, 1, 2, 0]


def test_videos_shorter_than_a_clip_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="videos of at least 3 frames"):
        DenseClips([still(tmp_path, 2)], CLIPS, DenseWalkConfig(view=24), seed=1)


@pytest.mark.parametrize(("power", "share"), [(1.0, 0.1), (0.5, 0.25), (0.0, 0.5)])
def test_folders_are_tempered(tmp_path: Path, power: float, share: float) -> None:
    long = [still(tmp_path, 90, root=0), still(tmp_path, 200, root=0)]
    config = DenseWalkConfig(root_power=power, length_cap=90)
    rates = draw_rates([*long, still(tmp_path, 20, root=1)], config)
    assert rates.sum() == pytest.approx(1) and rates[0] == pytest.approx(rates[1])
    assert rates[2] == pytest.approx(share)

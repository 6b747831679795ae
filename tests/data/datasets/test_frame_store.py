"""Videos decoded once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scalable_binding.data.datasets import frame_store
from scalable_binding.data.frames import videos
from scalable_binding.data.frames.sources import UnusableVideoWarning
from scalable_binding.errors import UserError


def gray(num_frames: int) -> torch.Tensor:
    levels = 10 * torch.arange(num_frames, dtype=torch.uint8)
    return levels.view(-1, 1, 1, 1).expand(-1, 3, 32, 48).contiguous()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    videos.write(tmp_path / "videos" / "a.mp4", gray(16), fps=16.0)
    videos.write(tmp_path / "videos" / "b", gray(24), fps=24.0)
    return tmp_path / "videos"


def test_frames_are_kept_at_the_rate_and_size_asked_for(root: Path, tmp_path: Path) -> None:
    stored = frame_store.store([root], tmp_path / "store", fps=8.0, size=16)
    assert [video.num_frames for video in stored] == [8, 8]
    for video, step in zip(stored, (20, 30), strict=True):
        frames = video.read([7, 0, 2])
        assert frames.shape == (3, 3, 16, 24) and frames.dtype == torch.uint8
        levels = frames.float().mean(dim=(1, 2, 3))
        assert (levels - torch.tensor([7.0, 0, 2]) * step).abs().max() < 3


def test_a_video_is_decoded_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = frame_store.store([root], tmp_path / "store", fps=8.0, size=16)
    monkeypatch.setattr(frame_store.videos, "stream", None)
    monkeypatch.setattr(frame_store.images, "read", None)
    assert frame_store.store([root], tmp_path / "store", fps=8.0, size=16) == first


def test_roots_are_told_apart(root: Path, tmp_path: Path) -> None:
    stored = frame_store.store([root / "b", root / "a.mp4"], tmp_path / "store", fps=8.0, size=16)
    assert [video.root for video in stored] == [0, 1]


def test_a_damaged_video_is_left_out_with_a_warning(root: Path, tmp_path: Path) -> None:
    (root / "c.mp4").write_bytes(b"no video")
    with pytest.warns(UnusableVideoWarning, match=r"left out: .*c\.mp4"):
        stored = frame_store.store([root], tmp_path / "store", fps=8.0, size=16)
    assert len(stored) == 2


def test_nothing_to_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="training data: expected folders of videos, got none"):
        frame_store.store([], tmp_path / "store", fps=8.0, size=16)
    (tmp_path / "c.mp4").write_bytes(b"no video")
    with (
        pytest.warns(UnusableVideoWarning),
        pytest.raises(UserError, match="none of the videos can be read"),
    ):
        frame_store.store([tmp_path / "c.mp4"], tmp_path / "store", fps=8.0, size=16)


def test_a_folder_that_cannot_be_written_is_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        frame_store.store([root], tmp_path / "file", fps=8.0, size=16)

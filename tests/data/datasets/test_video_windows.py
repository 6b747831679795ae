"""Windows of videos: the clips, axes in the networks' order, some of them mirrored."""

import pytest
import torch
from einops import rearrange

from reference.numbered import numbered_frames
from scalable_binding.data.datasets.clips import VideoClips
from scalable_binding.data.datasets.video_windows import VideoWindows
from scalable_binding.data.frames import videos
from scalable_binding.errors import UserError


def test_windows_are_the_clips_in_another_order_of_axes(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        videos.write(tmp_path / name, numbered_frames(30, height=48), fps=10.0)
    clips = VideoClips(tmp_path, num_frames=5, size=24, crop=24, seed=3)
    plain = VideoWindows(tmp_path, num_frames=5, size=24, seed=3)
    flipped = VideoWindows(tmp_path, num_frames=5, size=24, seed=3, flip=True)
    mirrored = 0
    for index in range(12):
        expected = rearrange(clips[index]["frames"], "t c h w -> c t h w")
        item = plain[index]
        assert item["index"] == index and torch.equal(item["video"], expected)
        video = flipped[index]["video"]
        assert torch.equal(video, expected) or torch.equal(video, expected.flip(-1))
        mirrored += int(not torch.equal(video, expected))
    assert 0 < mirrored < 12 and plain.failures == {}


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="no videos under"):
        VideoWindows(tmp_path, num_frames=2, size=8)

"""Windows of videos in the order of axes that networks over space and time take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.data.datasets.clips import VideoClips


class VideoWindows(Dataset[dict[str, Tensor]]):
    """Endless windows of videos: ``dataset[index]`` for every index >= 0.

    An item is ``{"video": uint8 (3 t size size), "index": int64 ()}``. Order, reproducibility and
    what happens to damaged videos are those of
    :class:`~scalable_binding.data.datasets.clips.VideoClips`.

    Args:
        root: a folder of videos, of folders of frames or of tar shards, or several.
        num_frames: frames in a window.
        size: side in pixels: the short side of a frame is resized to it, the long side cut at
            random.
        fps: frames per second in a window; None takes every frame.
        flip: show every window, at random, as it is or mirrored from left to right.
        seed: of the order, the beginnings, the cuts and the mirroring.

    Raises:
        UserError: as ``VideoClips``.
    """

    def __init__(
        self,
        root: str | Path | Sequence[str | Path],
        *,
        num_frames: int,
        size: int,
        fps: float | int | None = None,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        self.clips = VideoClips(
            root, num_frames=num_frames, fps=fps, size=size, crop=size, mirror=flip, seed=seed
        )

    @property
    def failures(self) -> dict[str, int]:
        """How many windows each video failed to give so far."""
        return self.clips.failures

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        video = rearrange(self.clips[index]["frames"], "t c h w -> c t h w")
        return {"video": video.contiguous(), "index": torch.tensor(index)}

"""The clips of the dense walk: moved views of stored videos, in an endless, reproducible order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_views import cut, draw_windows
from scalable_binding.crw.presets import ClipConfig
from scalable_binding.data.datasets.frame_store import StoredVideo
from scalable_binding.engine.randomness import generator
from scalable_binding.errors import UserError


class DenseClips(Dataset[dict[str, Tensor]]):
    """Endless clips as views of their frames; an item is a function of seed and index alone.

    An item holds ``views``, uint8 ``(t+1 3 p p)``: one view of each frame, in the order of the
    walk, and another one of the first frame, the last; and ``windows`` ``(t+1 4)``, where in the
    frames they were cut: top, left, height and width in pixels.

    Args:
        stored: the videos; those shorter than a clip are left out.
        clips: length, mirroring, reversal.
        config: gaps, windows, and how often each video is drawn.
        seed: of everything.

    Raises:
        UserError: all videos are shorter than a clip.
    """

    def __init__(
        self, stored: Sequence[StoredVideo], clips: ClipConfig, config: DenseWalkConfig, seed: int
    ) -> None:
        self.videos = [video for video in stored if video.num_frames >= clips.num_frames]
        if not self.videos:
            expected = f"videos of at least {clips.num_frames} frames at {clips.fps} a second"
            raise UserError("clips", expected=expected, got=f"{len(stored)} shorter ones")
        self.clips, self.config, self.seed = clips, config, seed
        self._share = torch.from_numpy(draw_rates(self.videos, config)).cumsum(dim=0)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index < 0:
            raise IndexError(f"clips are numbered from 0, got {index}")
        rng = generator(self.seed, index)
        draw = torch.rand((), generator=rng, dtype=torch.float64)
        number = min(int(torch.searchsorted(self._share, draw)), len(self.videos) - 1)
        video = self.videos[number]
        frames = video.read(choose_frames(video.num_frames, self.clips, self.config, rng))
        if self.clips.mirror and flip_coin(rng):
            frames = frames.flip(-1)
        tour = torch.cat([frames, frames[:1]])
        height, width = frames.shape[-2:]
        windows = draw_windows(len(tour), height, width, self.config, rng)
        views = cut(tour, windows, self.config.view)
        return {"views": views, "windows": windows.float(), "index": torch.tensor(index)}


def choose_frames(
    num_frames: int, clips: ClipConfig, config: DenseWalkConfig, rng: Generator
) -> list[int]:
    """The numbers of a clip's frames in a video of ``num_frames``, in the order of the walk."""
    steps = clips.num_frames - 1
    largest = min(config.max_gap, (num_frames - 1) // steps)
    gaps = torch.randint(1, largest + 1, (steps,), generator=rng)
    numbers = torch.cat([torch.zeros(1, dtype=torch.int64), gaps.cumsum(dim=0)])
    first = torch.randint(num_frames - int(numbers[-1]), (), generator=rng)
    chosen: list[int] = (numbers + first).tolist()
    if clips.reverse and flip_coin(rng):
        chosen.reverse()
    return chosen


def draw_rates(videos: Sequence[StoredVideo], config: DenseWalkConfig) -> np.ndarray:
    """How often each video is drawn: by its length up to a cap, tempered between the roots."""
    lengths = np.array([min(video.num_frames, config.length_cap) for video in videos], dtype=float)
    roots = np.array([video.root for video in videos])
    totals = np.bincount(roots, weights=lengths)[roots]
    rates: np.ndarray = lengths * totals ** (config.root_power - 1)
    return rates / rates.sum()


def flip_coin(rng: Generator) -> bool:
    """True half of the time."""
    return bool(torch.randint(2, (), generator=rng))

"""Short clips from unlabeled videos, in an endless and reproducible order."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset

from scalable_binding.data.frames import decoding, images, rendering, sources, timelines, videos
from scalable_binding.data.frames.memory import MAX_BYTES, Memory
from scalable_binding.data.frames.sources import FrameFolder, UnusableVideoWarning, Video
from scalable_binding.data.frames.timelines import Timeline
from scalable_binding.errors import UserError

__all__ = ["UnusableVideoWarning", "VideoClips"]

MAX_FRAMES_KEPT = 2000
"""In a video that is decoded whole; a longer one would hold up the first steps."""

Rate = float | int | tuple[float, float] | None
"""Frames per second, or the lowest and the highest."""


class VideoClips(Dataset[dict[str, Tensor]]):
    """Endless clips from the videos under a folder: ``dataset[index]`` for every index >= 0.

    An item ``{"frames": uint8 (t 3 h w), "index": int64 ()}`` depends on the seed, the index and
    the files alone. Every ``len(dataset.videos)`` items visit each video once, in an order shuffled
    anew; where the clip begins and where it is cut out is uniformly random. A video that gives no
    clip (corrupt, shorter than a clip, smaller than the crop) is replaced by the next in the order;
    it is warned of once and counted in ``failures``, over all the worker processes.

    A video of up to ``MAX_FRAMES_KEPT`` frames is decoded whole when it is asked for a second time,
    and kept as far as ``memory`` reaches; otherwise the frames of each clip are decoded. No file
    stays open between items, so that the data set can be copied to any worker process.

    Args:
        root: a folder of videos, of folders of frames or of tar shards, or several; see
            ``sources.find_videos``.
        num_frames: frames in a clip.
        fps: frames per second in a clip; None takes every frame, infinity one frame over and over.
            Two numbers: drawn between them for each clip, evenly in the logarithm, as far as the
            video is long enough.
        size: pixels to which the short side is resized; None keeps each video's own scale.
        crop: side in pixels of a random square cut out, the same one in all frames of a clip, so
            that clips of different videos stack; None keeps whole frames.
        square: squeeze whole frames to ``size`` x ``size``, so that clips of all shapes stack.
        mirror: flip every other clip, at random, left to right.
        reverse: play every other clip, at random, backward in time.
        folder_fps: frames per second that folders of frames are taken to have.
        seed: of the order, the beginnings and the crops.
        memory: bytes of resized frames to keep, over all the worker processes of a loader.

    Raises:
        UserError: an argument is out of range or no video is found; from ``dataset[index]``, not
            one of the videos gives a clip.
    """

    def __init__(
        self,
        root: str | Path | Sequence[str | Path],
        *,
        num_frames: int,
        fps: Rate = None,
        size: int | None = None,
        crop: int | None = None,
        square: bool = False,
        mirror: bool = False,
        reverse: bool = False,
        folder_fps: float | int = videos.FOLDER_FPS,
        seed: int = 0,
        memory: int = MAX_BYTES,
    ) -> None:
        slowest, fastest = fps if isinstance(fps, tuple) else (fps, fps)
        _check_positive(num_frames=num_frames, fps=slowest, size=size, crop=crop)
        _check_positive(folder_fps=folder_fps)
        if slowest is not None and fastest is not None and fastest < slowest:
            raise UserError("fps", expected="the lower rate first", got=f"{slowest}, {fastest}")
        if size is not None and crop is not None and crop > size:
            raise UserError("crop", expected=f"at most the size, {size}", got=str(crop))
        if square and (size is None or crop is not None):
            raise UserError("square", expected="a size and no crop", got=f"{size} and {crop}")
        roots = [root] if isinstance(root, str | Path) else root
        self.videos = [video for one in roots for video in sources.find_videos(Path(one))]
        self.num_frames = num_frames
        self.fps = fps
        self.size = size
        self.crop = crop
        self.square = square
        self.mirror = mirror
        self.reverse = reverse
        self.folder_fps = folder_fps
        self.seed = seed
        self._failures = torch.zeros(len(self.videos), dtype=torch.int64).share_memory_()
        self._order: tuple[int, np.ndarray] | None = None
        self._memory = Memory(memory)
        self._visits: Counter[str] = Counter()

    @property
    def failures(self) -> dict[str, int]:
        """How many clips each video failed to give so far; those that never failed are left out."""
        counts = zip(self.videos, self._failures.tolist(), strict=True)
        return {str(video): count for video, count in counts if count}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if index < 0:
            raise IndexError(f"clips are numbered from 0, got {index}")
        epoch, position = divmod(index, len(self.videos))
        order = self._order_of(epoch)
        reason = ""
        for attempt in range(len(order)):
            number = int(order[(position + attempt) % len(order)])
            try:
                frames = self._clip(
                    self.videos[number], np.random.default_rng((self.seed, index, attempt))
                )
            except UserError as error:
                reason = str(error)
                self._count_failure(number, reason)
            else:
                return {"frames": frames, "index": torch.tensor(index)}
        raise UserError(f"none of the {len(order)} videos gives a clip; the last one: {reason}")

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng((self.seed, epoch))
            self._order = epoch, rng.permutation(len(self.videos))
        return self._order[1]

    def _count_failure(self, number: int, reason: str) -> None:
        if self._failures[number] == 0:
            message = f"a clip is taken from another video instead: {reason}"
            warnings.warn(message, UnusableVideoWarning, stacklevel=3)
        self._failures[number] += 1

    def _clip(self, video: Video, rng: np.random.Generator) -> UInt8[Tensor, "t 3 h w"]:
        begin, top, left, pace, mirrored, reversed_ = rng.random(6)
        numbers = self._choose_frames(video, begin, pace)
        if self.reverse and reversed_ < 0.5:
            numbers.reverse()
        distinct = sorted(set(numbers))
        frames = {}
        for number, frame in zip(distinct, self._frames(video, distinct), strict=True):
            frames[number] = (
                frame if self.crop is None else _cut(video, frame, self.crop, top, left)
            )
        if self.square:
            frames = {number: self._squeeze(frame) for number, frame in frames.items()}
        clip = torch.stack([frames[number] for number in numbers])
        return clip.flip(-1) if self.mirror and mirrored < 0.5 else clip

    def _squeeze(self, frame: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 size size"]:
        assert self.size is not None
        size = (self.size, self.size)
        return interpolate(frame[None], size=size, mode="bilinear", antialias=True)[0]

    def _choose_frames(self, video: Video, begin: float, pace: float) -> list[int]:
        times = self._timeline(video)
        length = float(times.seconds(-1) + times.slack)
        fps = _between(self.fps, pace, least=(self.num_frames - 1) / max(length, 1e-9))
        if fps is None or math.isinf(fps):
            span = self.num_frames if fps is None else 1
            first = math.floor(begin * (len(times) - span + 1))
            numbers = [first + step % span for step in range(self.num_frames)]
            fits = len(times) >= span
        else:
            period = 1 / Fraction(fps).limit_denominator(100_000)
            latest = times.seconds(-1) + times.slack - (self.num_frames - 1) * period
            fits = latest >= 0
            first = math.floor(begin * (times.at(latest) + 1))
            shown = times.seconds(first) + times.slack
            numbers = [times.at(shown + step * period) for step in range(self.num_frames)]
        if not fits:
            at_rate = "" if fps is None else f" at {fps:.3g} a second"
            raise UserError(
                f"{video}: too short for a clip",
                expected=f"{self.num_frames} frames{at_rate}",
                got=f"{len(times)} frames, {float(times.seconds(-1) + times.period):.2f} s",
                fix="set more frames a second or fewer frames, or take longer videos",
            )
        return numbers

    def _timeline(self, video: Video) -> Timeline:
        if not isinstance(video, FrameFolder):
            return timelines.timeline(video)
        numbers, period = np.arange(len(video.frames)), 1 / Fraction(self.folder_fps)
        return Timeline(numbers, numbers, period, period, seekable=True)

    def _frames(self, video: Video, numbers: list[int]) -> Iterable[UInt8[Tensor, "3 h w"]]:
        key = str(video)
        self._visits[key] += 1
        if self._visits[key] == 2:
            self._keep(video)
        kept = self._memory.get(key)
        if kept is None:
            return self._read(video, numbers)
        return (kept[number].permute(2, 0, 1) for number in numbers)

    def _keep(self, video: Video) -> None:
        """Decode the whole video into memory, unless it does not fit or is damaged somewhere."""
        num_frames = len(self._timeline(video))
        if num_frames > MAX_FRAMES_KEPT:
            return
        frames: list[Tensor] = []
        try:
            for frame in self._read(video, [*range(num_frames)]):
                fits = self._memory.fits(num_frames * frame.nbytes)
                if not fits or (frames and frame.shape != frames[0].shape):
                    return
                frames.append(frame)
        except UserError:
            return
        self._memory.keep(str(video), torch.stack([frame.permute(1, 2, 0) for frame in frames]))

    def _read(self, video: Video, numbers: list[int]) -> Iterator[UInt8[Tensor, "3 h w"]]:
        if isinstance(video, FrameFolder):
            return (images.read(video.frames[number], size=self.size) for number in numbers)
        frames = decoding.pick(video, numbers)
        return (rendering.pixels(frame, size=self.size) for frame in frames)


def _cut(
    video: Video, frame: UInt8[Tensor, "3 h w"], side: int, top: float, left: float
) -> UInt8[Tensor, "3 side side"]:
    """A square of the frame; ``top`` and ``left`` in [0, 1) are shares of the room there is."""
    _, height, width = frame.shape
    if min(height, width) < side:
        raise UserError(
            f"{video}: smaller than the crop",
            expected=f"{side} x {side}",
            got=f"{height} x {width}",
        )
    row = math.floor(top * (height - side + 1))
    column = math.floor(left * (width - side + 1))
    return frame[:, row : row + side, column : column + side]


def _between(rate: Rate, share: float, least: float) -> float | None:
    """The rate itself, or that at a ``share`` of the way between two, in the logarithm.

    Of two, the lower is no lower than the ``least`` at which a clip fits into the video, if the
    higher is not.
    """
    if not isinstance(rate, tuple):
        return rate
    slowest, fastest = rate
    if slowest < least <= fastest:
        slowest = least
    return slowest * (fastest / slowest) ** share


def _check_positive(**numbers: float | int | None) -> None:
    for name, number in numbers.items():
        if number is not None and not number > 0:
            raise UserError(name, expected="a number above 0", got=str(number))

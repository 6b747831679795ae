"""When each frame of a video is shown, and how many there are, from its packets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame

from scalable_binding import files
from scalable_binding.data.frames import containers
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError

_CHECKED = 12
"""Frames at the start that are decoded to see that the packets tell the truth."""


@dataclass(frozen=True)
class Timeline:
    """When each frame of a video is shown, in the order in which they are shown.

    ``ticks`` (int64, ascending) counts in units of ``unit`` seconds; ``keys`` are the numbers of
    the frames at which decoding can begin. Without ``seekable`` the ticks are only frame numbers,
    and decoding has to begin at the start. Frames that cannot be decoded, since the video begins
    inside a group of pictures, are not counted.
    """

    ticks: np.ndarray
    keys: np.ndarray
    unit: Fraction
    period: Fraction
    seekable: bool

    def __len__(self) -> int:
        return len(self.ticks)

    def seconds(self, number: int) -> Fraction:
        """When the frame of this number is shown, in seconds after the first one."""
        return int(self.ticks[number] - self.ticks[0]) * self.unit

    def at(self, seconds: Fraction) -> int:
        """The number of the frame on show so many seconds after the first frame's time."""
        tick = math.floor(seconds / self.unit) + int(self.ticks[0])
        return max(0, int(np.searchsorted(self.ticks, tick, side="right")) - 1)

    @property
    def slack(self) -> Fraction:
        """Seconds by which rounded stamps can put two frames too near or too far."""
        return slack(self.unit, self.period)


def slack(unit: Fraction, period: Fraction) -> Fraction:
    """Seconds by which the distance of two frames can be off since stamps are rounded to a unit.

    Where the unit is as coarse as the frames' own period, stamps are taken to be exact, and only
    the rate, such as 29.97, to be rounded.
    """
    return period / 1000 if unit >= period else min(unit, period / 4)


def timeline(source: Path | Member) -> Timeline:
    """The timeline of a video, read from its packets and remembered.

    Only its first frames are decoded; all of them where the packets have no time stamps, or where
    the first frames are not those of the packets.

    Raises:
        UserError: the file is missing, is no video or holds no frame.
    """
    status = files.check_regular(source if isinstance(source, Path) else source.archive)
    return _timeline(source, status.st_mtime_ns, status.st_size)


@dataclass(frozen=True)
class _Packets:
    """What the packets of a video tell: time stamps in the order of decoding."""

    shown: list[int | None]
    decoded: list[int | None]
    is_key: list[bool]
    unit: Fraction | None
    period: Fraction

    @property
    def in_order(self) -> bool:
        """Whether frames can be told apart by their stamps, which rise from key to key frame."""
        if self.unit is None or None in self.shown or len(set(self.shown)) < len(self.shown):
            return False
        sent = [stamp for stamp in self.decoded if stamp is not None]
        return all(first <= second for first, second in pairwise(sent))


@lru_cache(maxsize=4096)
def _timeline(source: Path | Member, modified: int, size: int) -> Timeline:
    packets = _read_packets(source)
    if not packets.shown:
        raise UserError(f"{source}: no frame in this video")
    if not packets.in_order or packets.unit is None:
        return _counted(source, packets.period)
    sent = zip(packets.shown, packets.is_key, strict=True)
    stamps = sorted((stamp or 0, key) for stamp, key in sent)
    found = Timeline(
        np.array([stamp for stamp, _ in stamps], dtype=np.int64),
        np.flatnonzero([key for _, key in stamps]),
        packets.unit,
        packets.period,
        seekable=True,
    )
    return _without_lost(source, found)


def _read_packets(source: Path | Member) -> _Packets:
    shown: list[int | None] = []
    decoded: list[int | None] = []
    is_key: list[bool] = []
    with containers.opened(source, 1) as (container, stream):
        try:
            for packet in container.demux(stream):
                if is_frame(packet):
                    shown.append(packet.pts)
                    decoded.append(packet.dts)
                    is_key.append(packet.is_keyframe)
        except av.FFmpegError:
            pass  # the damage shows again, and is told, when the frames are decoded
        return _Packets(shown, decoded, is_key, stream.time_base, 1 / containers.rate(stream))


def is_frame(packet: Packet) -> bool:
    """Whether a packet holds a frame that is to be shown, as far as it can be told."""
    return packet.size > 0 and not packet.is_discard


def _without_lost(source: Path | Member, found: Timeline) -> Timeline:
    """The timeline without the frames at the start that a decoder cannot give.

    These come before the first key frame, or refer to what came before it. Where more is otherwise
    than the packets say, such as two packets a frame, all frames are decoded to count them.
    """
    first = _first_stamps(source)
    if first == found.ticks[: len(first)].tolist():
        return found
    if None in first or not first:
        return _counted(source, found.period)
    kept = found.ticks >= first[0]
    ticks = found.ticks[kept]
    if ticks[: len(first)].tolist() != first:
        return _counted(source, found.period)
    keys = np.searchsorted(ticks, found.ticks[found.keys[kept[found.keys]]])
    return replace(found, ticks=ticks, keys=keys)


def _first_stamps(source: Path | Member) -> list[int | None]:
    """The time stamps of the first frames that can be decoded, without those after damage."""
    stamps: list[int | None] = []
    with containers.opened(source, 1) as (container, stream):
        try:
            for frame in islice(frames_of(container.demux(stream)), _CHECKED):
                if frame.is_corrupt:
                    break
                stamps.append(frame.pts)
        except av.FFmpegError:
            pass
    return stamps


def _counted(source: Path | Member, period: Fraction) -> Timeline:
    """The timeline of a video without sound time stamps: its frames, counted by decoding them."""
    num_frames = 0
    with containers.opened(source, 0) as (container, stream):
        try:
            for frame in frames_of(container.demux(stream)):
                if frame.is_corrupt:
                    break
                num_frames += 1
        except av.FFmpegError:
            pass
    if not num_frames:
        raise UserError(f"{source}: no frame could be decoded")
    return Timeline(np.arange(num_frames), np.zeros(1, np.int64), period, period, seekable=False)


def frames_of(packets: Iterable[Packet]) -> Iterator[VideoFrame]:
    """The frames that packets hold, in the order in which they are shown.

    As in ffmpeg, what cannot be decoded before the first whole frame is left out: a video that was
    cut inside a group of pictures begins at its first key frame.
    """
    has_begun = False
    for packet in packets:
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if has_begun:
                raise
            continue
        for frame in frames:
            if has_begun or not frame.is_corrupt:
                has_begun = True
                yield frame

"""Decoding a video file in sequence, from any frame on, or frames picked by their numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from scalable_binding.data.frames import containers
from scalable_binding.data.frames.timelines import Timeline, frames_of, timeline
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError

_SKIPPING_DECODERS = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
_SEEK_MARGINS = (0, 1, 10)  # seconds; some containers seek only roughly
_LAST_ENTRIES = 64
"""Entries of an index that are looked through, from its end, for one that is not empty."""


class DamagedVideoWarning(UserWarning):
    """A video stops before its end; the frames before the damage were used."""


class _End:
    """How far a stream was read: what a cut file shows short of what it announced."""

    def __init__(self, stream: VideoStream) -> None:
        self._unit = stream.time_base or Fraction(1)
        self._longest = 3 / containers.rate(stream)
        self._sent: int | None = None
        self._shown: int | None = None
        self._over: int | None = None

    def watch(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """The packets, each taken note of."""
        for packet in packets:
            if packet.size and packet.dts is not None:
                self._sent = max(packet.dts, self._sent if self._sent is not None else packet.dts)
            if packet.size and packet.pts is not None:
                if self._shown is not None:
                    gap = abs(packet.pts - self._shown) * self._unit
                    self._longest = max(self._longest, gap)
                self._shown = packet.pts
                over = packet.pts + (packet.duration or 0)
                self._over = max(over, self._over if self._over is not None else over)
            yield packet

    def missing(self, container: InputContainer, stream: VideoStream) -> str:
        """Why the stream is not whole; empty if it is."""
        entries, promised = stream.index_entries, None
        for place in range(len(entries) - 1, max(-1, len(entries) - 1 - _LAST_ENTRIES), -1):
            if entries[place].size:
                promised = entries[place].timestamp
                break
        latest = max(
            (stamp for stamp in (self._sent, self._shown) if stamp is not None), default=None
        )
        if promised is not None and latest is not None and latest < promised:
            return f"its index goes on for {float((promised - latest) * self._unit):.2f} s"
        if self._over is None or not container.duration or len(container.streams) > 1:
            return ""
        announced, over = Fraction(container.duration, av.time_base), self._over * self._unit
        if over < announced - self._longest:
            return f"{float(announced):.2f} s were announced, {float(over):.2f} came"
        return ""


def decode(source: Path | Member, first: int = 0, *, num_threads: int = 1) -> Iterator[VideoFrame]:
    """The decoded frames from the one numbered ``first`` on, each when it is asked for.

    Where the file is damaged or cut the frames end, with a ``DamagedVideoWarning``.

    Raises:
        UserError: the file is missing or no video, or not one frame can be decoded.
    """
    number, reason = first, ""
    for is_sought in (True, False) if first else (False,):
        with containers.opened(source, num_threads) as (container, stream):
            end = _End(stream)
            try:
                reason = "a damaged picture"
                for frame in _decode_from(source, container, stream, first, is_sought, end):
                    if frame.is_corrupt:
                        break
                    yield frame
                    number += 1
                else:
                    reason = end.missing(container, stream)
            except av.FFmpegError as error:
                reason = containers.describe(error)
        if number > first:
            break
    if number == 0:
        raise UserError(f"{source}: no frame could be decoded", got=reason or None)
    if reason:
        message = f"{source}: the video ends early, after frame {number - 1} ({reason})"
        warnings.warn(message, DamagedVideoWarning, stacklevel=2)


def _decode_from(
    source: Path | Member,
    container: InputContainer,
    stream: VideoStream,
    first: int,
    seek: bool,
    end: _End,
) -> Iterator[VideoFrame]:
    if first == 0:
        yield from frames_of(end.watch(container.demux(stream)))
        return
    times = timeline(source)
    if first >= len(times):
        return
    if not times.seekable:
        yield from islice(frames_of(end.watch(container.demux(stream))), first, None)
        return
    tick = int(times.ticks[first])
    packets = _packets_from(container, stream, times, first) if seek else container.demux(stream)
    frames = _decode_wanted(end.watch(packets), lambda stamp: stamp >= tick)
    for frame in frames:
        if frame.pts == tick:
            yield frame
            yield from frames
        return


def pick(
    source: Path | Member, numbers: Sequence[int], *, num_threads: int = 1
) -> Iterator[VideoFrame]:
    """The decoded frames of ascending, different numbers.

    Decodes from the key frame before each number, and on the way leaves out the frames to which no
    other refers; the pictures are those of decoding everything from the start.

    Raises:
        UserError: the file is missing or no video, or one of the frames cannot be decoded.
    """
    times = timeline(source)
    missing = list(numbers)
    for is_sought in (True, False):
        with containers.opened(source, num_threads) as (container, stream):
            try:
                for frame in _pick(container, stream, times, missing.copy(), is_sought):
                    if frame.is_corrupt:
                        break
                    yield frame
                    missing.pop(0)
            except av.FFmpegError:
                pass  # decoding from the start is still to try; if it fails too, that is told below
        if not missing:
            return
    raise UserError(f"{source}: frame {missing[0]} cannot be decoded; the file is damaged")


def _pick(
    container: InputContainer,
    stream: VideoStream,
    times: Timeline,
    numbers: Sequence[int],
    seek: bool,
) -> Iterator[VideoFrame]:
    if not times.seekable:
        chosen = set(numbers)
        everything = islice(frames_of(container.demux(stream)), max(numbers) + 1)
        yield from (frame for number, frame in enumerate(everything) if number in chosen)
        return
    groups = np.searchsorted(times.keys, numbers, side="right") * seek
    for group in np.unique(groups):
        ticks = times.ticks[np.asarray(numbers)[groups == group]].tolist()
        first = numbers[int(np.argmax(groups == group))]
        packets = (
            _packets_from(container, stream, times, first) if seek else container.demux(stream)
        )
        frames = _decode_wanted(packets, set(ticks).__contains__)
        for tick, frame in zip(ticks, frames, strict=False):
            if frame.pts != tick:
                return
            yield frame


def _decode_wanted(
    packets: Iterable[Packet], is_wanted: Callable[[int], bool]
) -> Iterator[VideoFrame]:
    """The frames whose time stamps are wanted; of the others only what these need is decoded."""

    def prepared() -> Iterator[Packet]:
        for packet in packets:
            decoder = packet.stream.codec_context
            if decoder.name in _SKIPPING_DECODERS:
                wanted = packet.pts is None or is_wanted(packet.pts)
                decoder.skip_frame = "DEFAULT" if wanted else "NONREF"
            yield packet

    for frame in frames_of(prepared()):
        if frame.pts is not None and is_wanted(frame.pts):
            yield frame


def _packets_from(
    container: InputContainer, stream: VideoStream, times: Timeline, first: int
) -> Iterator[Packet]:
    """Packets from a key frame at or before frame ``first``; none where seeking fails."""
    keys = times.keys[times.keys <= first]
    tick = int(times.ticks[keys[-1] if len(keys) else 0])
    for margin in _SEEK_MARGINS:
        packets = _seek(container, stream, tick - round(margin / times.unit))
        packet = next((packet for packet in packets if packet.is_keyframe), None)
        if packet is not None and packet.pts is not None and packet.pts <= tick:
            yield packet
            yield from packets
            return


def _seek(container: InputContainer, stream: VideoStream, tick: int) -> Iterator[Packet]:
    """The packets from about this time stamp on; none where the container cannot seek."""
    try:
        container.seek(tick, stream=stream)
    except av.FFmpegError:
        return iter(())
    return container.demux(stream)

"""Video files that PyAV opens: when each frame is shown, and decoding from any frame on.

Files are opened for one call and closed at its end, so that no decoder is ever shared between
processes. Only local files are read: a playlist cannot send the reader to another file or host.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding.data.frames import images
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}
    | {".ogv", ".3gp", ".gif"}
)
_FALLBACK_RATE = Fraction(25)
_SKIPPING_DECODERS = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
_SEEK_MARGINS = (0, 1, 10)  # seconds; some containers seek only roughly


class DamagedVideoWarning(UserWarning):
    """A video stops before its end; the frames before the damage were used."""


@dataclass(frozen=True)
class Timeline:
    """When each frame of a video is shown, in the order in which they are shown.

    ``ticks`` (int64, ascending) counts in units of ``unit`` seconds; ``keys`` are the numbers of
    the frames at which decoding can begin. Without ``seekable`` the ticks are only frame numbers,
    and decoding has to begin at the start.
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


@contextmanager
def opened(source: Path | Member, num_threads: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its first video stream, and closes both at the end.

    Args:
        num_threads: decoding threads, 0 for one on each core.

    Raises:
        UserError: the file is missing, is no video, or has too large a picture.
    """
    options = {"protocol_whitelist": "file", "max_pixels": str(images.MAX_PIXELS)}
    try:
        file = str(source.absolute()) if isinstance(source, Path) else source.open()
        container = av.open(file, mode="r", options=options)
    except FileNotFoundError as error:
        raise UserError(f"no such file: {source}") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be read as a video ({_reason(error)})") from error
    with container:
        if not container.streams.video:
            raise UserError(f"{source}: no video in this file")
        stream = container.streams.video[0]
        images.check_size(source, stream.codec_context.height, stream.codec_context.width)
        stream.codec_context.options = {"max_pixels": str(images.MAX_PIXELS)}
        stream.codec_context.thread_count = num_threads
        stream.thread_type = "SLICE" if num_threads == 1 else "AUTO"
        yield container, stream


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def rate(stream: VideoStream) -> Fraction:
    """The stream's average frames per second, 25 where the file does not tell."""
    return stream.average_rate or stream.guessed_rate or _FALLBACK_RATE


def timeline(source: Path | Member) -> Timeline:
    """The timeline of a video, read from its packets without decoding them, and remembered.

    Raises:
        UserError: the file is missing, is no video or holds no frame.
    """
    path = source if isinstance(source, Path) else source.archive
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"no such file: {path}") from error
    return _timeline(source, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4096)
def _timeline(source: Path | Member, modified: int, size: int) -> Timeline:
    with opened(source, 1) as (container, stream):
        packets = []
        try:
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, packet.is_keyframe))
        except av.FFmpegError:
            pass  # the damage shows again, and is told, when the frames are decoded
        unit, period = stream.time_base, 1 / rate(stream)
    if not packets:
        raise UserError(f"{source}: no frame in this video")
    stamps = [stamp for stamp, _ in packets]
    if unit is None or None in stamps or len(set(stamps)) < len(stamps):
        return _counted(source, period)
    packets.sort()
    keys = [number for number, (_, is_key) in enumerate(packets) if is_key]
    ticks = np.array([stamp for stamp, _ in packets], dtype=np.int64)
    return Timeline(ticks, np.array(keys, dtype=np.int64), unit, period, seekable=True)


def _counted(source: Path | Member, period: Fraction) -> Timeline:
    """The timeline of a video without time stamps: its frames, counted by decoding them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedVideoWarning)
        num_frames = sum(1 for _ in decode(source))
    return Timeline(np.arange(num_frames), np.zeros(1, np.int64), period, period, seekable=False)


def decode(source: Path | Member, first: int = 0, *, num_threads: int = 1) -> Iterator[VideoFrame]:
    """The decoded frames from the one numbered ``first`` on, each when it is asked for.

    Where the file is damaged or cut the frames end, with a ``DamagedVideoWarning``.

    Raises:
        UserError: the file is missing or no video, or not one frame can be decoded.
    """
    number, reason = first, ""
    for is_sought in (True, False) if first else (False,):
        with opened(source, num_threads) as (container, stream):
            last = None
            try:
                reason = "a damaged picture"
                for last in _decode_from(source, container, stream, first, is_sought):
                    if last.is_corrupt:
                        break
                    yield last
                    number += 1
                else:
                    reason = _missing_end(container, stream, number, last)
            except av.FFmpegError as error:
                reason = _reason(error)
        if number > first:
            break
    if number == 0:
        raise UserError(f"{source}: no frame could be decoded", got=reason or None)
    if reason:
        message = f"{source}: the video ends early, after frame {number - 1} ({reason})"
        warnings.warn(message, DamagedVideoWarning, stacklevel=2)


def _missing_end(
    container: InputContainer, stream: VideoStream, number: int, last: VideoFrame | None
) -> str:
    """Why a stream that ended with so many frames is not whole; empty if it is."""
    if number < len(stream.index_entries):
        return f"{len(stream.index_entries)} frames were announced"
    if last is None or last.time is None or not container.duration or len(container.streams) > 1:
        return ""
    announced = container.duration / av.time_base
    if last.time < announced - 3 / rate(stream):
        return f"{announced:.2f} s were announced, {last.time:.2f} came"
    return ""


def _decode_from(
    source: Path | Member, container: InputContainer, stream: VideoStream, first: int, seek: bool
) -> Iterator[VideoFrame]:
    if first == 0:
        yield from container.decode(stream)
        return
    times = timeline(source)
    if first >= len(times):
        return
    if not times.seekable:
        yield from islice(container.decode(stream), first, None)
        return
    tick = int(times.ticks[first])
    packets = _packets_from(container, stream, times, first) if seek else container.demux(stream)
    frames = _decode_wanted(packets, lambda stamp: stamp >= tick)
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
        with opened(source, num_threads) as (container, stream):
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
        everything = islice(container.decode(stream), max(numbers) + 1)
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
    for packet in packets:
        decoder = packet.stream.codec_context
        if decoder.name in _SKIPPING_DECODERS:
            wanted = packet.pts is None or is_wanted(packet.pts)
            decoder.skip_frame = "DEFAULT" if wanted else "NONREF"
        for frame in packet.decode():
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


def pixels(frame: VideoFrame, *, size: int | None = None) -> UInt8[Tensor, "3 h w"]:
    """A decoded frame's RGB pixels, turned as the video's rotation metadata says.

    With ``size`` the short side is resized to that many pixels, smoothly and without aliasing. In
    memory the colors of a pixel lie together.
    """
    height, width = images.short_side(frame.height, frame.width, size)
    array = frame.to_ndarray(format="rgb24", height=height, width=width, interpolation="BILINEAR")
    turned = np.rot90(array, round(frame.rotation / 90))
    return torch.from_numpy(np.ascontiguousarray(turned)).permute(2, 0, 1)

"""Videos, read lazily and written whole: files that PyAV decodes, folders of frames, iterators.

Frames are uint8 RGB tensors ``(3 h w)``. Re-sampling to a frame rate holds each frame until the
next one is due: frame k at ``fps`` is the one on show k / fps seconds after the first, which is
exact for variable frame rates too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.data.frames import containers, decoding, images, rendering, timelines
from scalable_binding.data.frames.decoding import DamagedVideoWarning
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError

__all__ = [
    "FOLDER_FPS",
    "DamagedVideoWarning",
    "VideoInfo",
    "convert",
    "probe",
    "read",
    "stream",
    "write",
]

FOLDER_FPS = 24.0
"""Frames per second that a folder of frames is taken to have (DAVIS' rate), as it tells none."""

_WRITABLE = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
_Item = TypeVar("_Item")


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What a video's header tells; sizes in pixels as seen, the duration in seconds.

    ``num_frames`` and ``duration`` are None where the file does not tell.
    """

    num_frames: int | None
    fps: float
    height: int
    width: int
    duration: float | None


def probe(path: str | Path | Member) -> VideoInfo:
    """Size, rate and length of a video or of a folder of frames.

    Raises:
        UserError: nothing is there, it is no video, or none of its frames can be decoded.
    """
    path = Path(path) if isinstance(path, str) else path
    if isinstance(path, Path) and path.is_dir():
        frames = _list_frames(path)
        height, width = images.probe(frames[0])
        return VideoInfo(
            num_frames=len(frames),
            fps=FOLDER_FPS,
            height=height,
            width=width,
            duration=len(frames) / FOLDER_FPS,
        )
    with containers.opened(path, 1) as (container, video):
        fps, num_frames = float(containers.rate(video)), video.frames or None
        length = container.duration
    duration = None if length is None else length / av.time_base
    first = next(decoding.decode(path))
    _, height, width = rendering.pixels(first).shape
    return VideoInfo(num_frames=num_frames, fps=fps, height=height, width=width, duration=duration)


def stream(
    path: str | Path | Member,
    *,
    fps: float | int | None = None,
    start: int = 0,
    stop: int | None = None,
    size: int | None = None,
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """The frames ``start`` to ``stop`` (not included), one at a time and in bounded memory.

    A file that is damaged or cut gives the frames up to there and then a ``DamagedVideoWarning``.

    Args:
        path: a video file, or a folder of frames in the natural order of their names.
        fps: frames per second to re-sample to; None gives every frame once.
        start: first frame, counted after re-sampling; it is sought, not decoded up to.
        stop: end, counted after re-sampling; None goes to the last frame.
        size: pixels of the short side; None keeps the video's own.

    Raises:
        UserError: nothing is there, it is no video, or not one frame can be decoded.
    """
    path = Path(path) if isinstance(path, str) else path
    if start < 0 or (stop is not None and stop < start):
        raise UserError("frame range", expected="0 <= start <= stop", got=f"{start} to {stop}")
    if fps is not None and not 0 < fps < math.inf:
        raise UserError("fps", expected="a rate above 0 and below infinity", got=str(fps))
    if isinstance(path, Path) and not path.exists():
        raise UserError(f"no such file: {path}")
    rate = None if fps is None else Fraction(fps).limit_denominator(100_000)
    if isinstance(path, Path) and path.is_dir():
        frames = (images.read(frame, size=size) for frame in _of_folder(path, rate, start))
    else:
        frames = (rendering.pixels(frame, size=size) for frame in _of_file(path, rate, start))
    return _of_one_size(path, islice(frames, None if stop is None else stop - start))


def stream_both(
    path: str | Path, size: int, start: int = 0, stop: int | None = None
) -> Iterator[tuple[UInt8[Tensor, "3 h w"], UInt8[Tensor, "3 rows columns"]]]:
    """Frames at the video's own size and with ``size`` pixels on the short side, decoded once.

    They are those that :func:`stream` gives.

    Raises:
        UserError: as :func:`stream`.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"no such file: {path}")
    if path.is_dir():
        for file in _list_frames(path)[start:stop]:
            yield images.read(file), images.read(file, size=size)
        return
    number = None if stop is None else stop - start
    for frame in islice(_of_file(path, None, start), number):
        yield rendering.pixels(frame), rendering.pixels(frame, size=size)


_CHUNK = 32
"""Frames in memory while a video is read backward."""


def length(path: str | Path) -> int:
    """The number of frames by the packets of a video, or of files in a folder: few are decoded.

    Raises:
        UserError: nothing is there, or it is no video.
    """
    path = Path(path)
    return len(_list_frames(path)) if path.is_dir() else len(timelines.timeline(path))


def count(path: str | Path) -> int:
    """The number of frames that can be decoded, which a header may not tell, or tell wrongly."""
    return sum(1 for _ in stream(path))


def stream_backward(
    path: str | Path, num: int, size: int, start: int = 0
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """The frames of a video from ``num - 1`` down to ``start``, a few in memory at a time."""
    for stop in range(num, start, -_CHUNK):
        chunk = stream(path, start=max(start, stop - _CHUNK), stop=stop, size=size)
        yield from reversed(list(chunk))


def _list_frames(folder: Path) -> list[Path]:
    frames = images.list_frames(folder)
    if not frames:
        raise UserError(f"{folder}: no frames in this folder", expected="images such as 00000.jpg")
    return frames


def _of_folder(folder: Path, rate: Fraction | None, start: int) -> Iterator[Path]:
    frames = _list_frames(folder)
    if rate is None:
        return islice(frames, start, None)
    period = 1 / Fraction(FOLDER_FPS)
    first = math.floor(start / rate / period)
    shown = ((number * period, frames[number]) for number in range(first, len(frames)))
    return resample(shown, rate, start=start, period=period)


def _of_file(source: Path | Member, rate: Fraction | None, start: int) -> Iterator[VideoFrame]:
    if rate is None:
        return decoding.decode(source, start, num_threads=0)
    with containers.opened(source, 1) as (_, video):
        period = 1 / containers.rate(video)
        slack = timelines.slack(video.time_base or period, period)
    first, offset = 0, Fraction(0)
    if start:
        times = timelines.timeline(source)
        first = times.at(start / rate + slack)
        offset = times.seconds(first)
    frames = decoding.decode(source, first, num_threads=0)
    shown = _timed(frames, offset, period)
    return resample(shown, rate, start=start, period=period, slack=slack)


def _timed(
    frames: Iterable[VideoFrame], offset: Fraction, period: Fraction
) -> Iterator[tuple[Fraction, VideoFrame]]:
    """Frames with the seconds at which they are shown, the first one at ``offset``."""
    origin, time = None, offset - period
    for frame in frames:
        if frame.pts is None or frame.time_base is None:
            time += period
        else:
            stamp = frame.pts * frame.time_base
            origin = stamp - offset if origin is None else origin
            time = stamp - origin
        yield time, frame


def resample(
    shown: Iterable[tuple[Fraction, _Item]],
    rate: Fraction,
    *,
    start: int = 0,
    period: Fraction,
    slack: Fraction = Fraction(0),
) -> Iterator[_Item]:
    """The items on show at start / rate, (start + 1) / rate, ... seconds.

    Args:
        shown: items with the second from which each is shown until the next one; the first at or
            before start / rate.
        period: seconds for which the last item is shown.
        slack: an item that comes so many seconds late, by rounding, counts as in time.
    """
    tick, time = start, Fraction(0)
    current: list[_Item] = []
    for time, item in shown:
        while current and tick / rate + slack < time:
            yield current[0]
            tick += 1
        current = [item]
    while current and tick / rate + slack < time + period:
        yield current[0]
        tick += 1


def _of_one_size(
    path: Path | Member | str, frames: Iterable[UInt8[Tensor, "3 _ _"]]
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    size = None
    for number, frame in enumerate(frames):
        size = size or frame.shape
        if frame.shape != size:
            raise UserError(
                f"{path}: frame {number} differs in size from the first",
                expected=f"{size[1]} x {size[2]}",
                got=f"{frame.shape[1]} x {frame.shape[2]}",
            )
        yield frame


def convert(
    pictures: Iterable[Tensor | np.ndarray | Image.Image],
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """The frames of any iterator of pictures, such as a camera, each when it is asked for.

    Pictures are uint8 RGB tensors ``(3 h w)``, uint8 arrays ``(h w 3)`` in RGB or ``(h w)`` in
    gray, or Pillow images, all of one size.

    Raises:
        UserError: a picture is of another kind or size.
    """
    return _of_one_size("the iterator", map(_to_frame, pictures))


def _to_frame(picture: Tensor | np.ndarray | Image.Image) -> UInt8[Tensor, "3 h w"]:
    if isinstance(picture, Image.Image):
        picture = np.array(picture.convert("RGB"))
    if isinstance(picture, np.ndarray):
        if picture.ndim == 2:
            picture = picture[..., None].repeat(3, axis=-1)
        picture = torch.from_numpy(np.array(picture)).movedim(-1, 0)
    if picture.dtype != torch.uint8 or picture.ndim != 3 or len(picture) != 3:
        raise UserError(
            "a picture of the iterator",
            expected="uint8, a tensor (3 h w) or an array (h w 3) or (h w)",
            got=f"{picture.dtype} {tuple(picture.shape)}",
        )
    return picture


def read(
    path: str | Path | Member,
    *,
    fps: float | int | None = None,
    start: int = 0,
    stop: int | None = None,
    size: int | None = None,
) -> UInt8[Tensor, "t 3 h w"]:
    """The frames that ``stream`` gives, all in memory.

    Raises:
        UserError: as ``stream``, and when the range holds no frame.
    """
    frames = list(stream(path, fps=fps, start=start, stop=stop, size=size))
    if not frames:
        raise UserError(f"{path}: no frames from {start} to {'the end' if stop is None else stop}")
    return torch.stack(frames)


def write(
    path: str | Path,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    *,
    fps: float | int,
    key_every: int = 250,
    still: str = ".png",
) -> int:
    """Writes frames as they come, as a video or a folder of images; returns how many there were.

    A name that ends in .mp4, .mov or .mkv gives H.264 (whose pictures are even: an odd side gets
    its last row or column twice); a name without a video's suffix gives a folder of 00000.png,
    00001.png, ..., which keeps no rate. The result appears whole at the end; after Ctrl-C it holds
    the frames that had come. For a data set of clips a folder of JPEGs is by far the fastest.

    Args:
        path: the file or folder to make.
        frames: uint8 RGB, all of one size.
        fps: frames per second.
        key_every: the most frames from one key frame of a video file to the next: many make it
            small, few make it fast to begin anywhere in it.
        still: suffix of the images in a folder; .png keeps every pixel, .jpg is small and fast.

    Raises:
        UserError: there are no frames, they differ in size, the kind of file cannot be written, the
            folder exists and is not empty, or the disk refuses.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_writable(path)
    if suffix not in _WRITABLE:
        images.check_suffix(path / f"00000{still}", still)
    if not 0 < fps < math.inf:
        raise UserError("fps", expected="a rate above 0 and below infinity", got=str(fps))
    pending = iter(frames)
    first = next(pending, None)
    if first is None:
        raise UserError(f"no frames to write to {path}")
    images.check_size(path, *first.shape[1:])
    interruptions: list[KeyboardInterrupt] = []
    arriving = _until_interrupted(_of_one_size(path, chain([first], pending)), interruptions)
    with atomic.replacing(path) as temporary:
        if suffix in _WRITABLE:
            count = _save_file(temporary, arriving, fps, _WRITABLE[suffix], key_every)
        else:
            count = _save_folder(temporary, arriving, still)
    if interruptions:
        raise interruptions[0]
    return count


def check_writable(path: Path) -> None:
    """Nothing, when :func:`write` can make a video file or a folder of this name.

    Raises:
        UserError: a kind of video that is not written, or something is there that is no video.
    """
    suffix = path.suffix.lower()
    if suffix in _WRITABLE:
        return
    if suffix in containers.SUFFIXES:
        raise UserError(f"video {path}", expected=" or ".join(_WRITABLE), got=suffix)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path} exists and is not an empty folder", fix="choose another name")


def _until_interrupted(
    frames: Iterable[UInt8[Tensor, "3 h w"]], interruptions: list[KeyboardInterrupt]
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    try:
        yield from frames
    except KeyboardInterrupt as interruption:
        interruptions.append(interruption)


def _save_folder(folder: Path, frames: Iterable[UInt8[Tensor, "3 h w"]], still: str) -> int:
    folder.mkdir()
    count = 0
    for frame in frames:
        images.save(folder / f"{count:05d}{still}", frame, still)
        count += 1
    return count


def _save_file(
    path: Path,
    frames: Iterable[UInt8[Tensor, "3 h w"]],
    fps: float | int,
    container_format: str,
    key_every: int,
) -> int:
    rate = Fraction(fps).limit_denominator(100_000)
    count = 0
    encoding = {"crf": "18", "preset": "veryfast", "g": str(key_every)}
    options = {} if container_format == "matroska" else {"movflags": "+faststart"}
    with av.open(str(path), "w", format=container_format, options=options) as container:
        video: VideoStream | None = None
        for frame in frames:
            even = _to_even(frame)
            if video is None:
                video = container.add_stream("libx264", rate=rate, options=encoding)
                video.height, video.width = even.shape[1:]
                video.pix_fmt = "yuv420p"
                video.codec_context.colorspace = Colorspace.ITU709
            picture = VideoFrame.from_ndarray(
                rearrange(even, "c h w -> h w c").contiguous().cpu().numpy(), format="rgb24"
            )
            picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
            picture.pts, picture.time_base = count, 1 / rate
            container.mux(video.encode(picture))
            count += 1
        if video is not None:
            container.mux(video.encode())
    return count


def _to_even(frame: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 even_h even_w"]:
    _, height, width = frame.shape
    rows = torch.arange(height + height % 2).clamp(max=height - 1)
    columns = torch.arange(width + width % 2).clamp(max=width - 1)
    return frame if len(rows) == height and len(columns) == width else frame[:, rows][..., columns]

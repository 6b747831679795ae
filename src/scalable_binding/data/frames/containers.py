"""Video files that PyAV opens: which files, which of their streams, at which rate.

Files are opened for one call and closed at its end, so that no decoder is ever shared between
processes. Only regular local files of named formats are read: a playlist cannot send the reader to
another file or host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from scalable_binding import files
from scalable_binding.data.frames import images
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError

SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv"}
    | {".ogv", ".3gp", ".gif", ".mts", ".m2ts", ".vob", ".mxf", ".apng"}
)

FORMATS = (
    "mov,matroska,webm,avi,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,apng,mxf,nut,dv,gxf,rm,wtv,"
    "h264,hevc,vvc,m4v,av1,obu,ivf,vc1,mjpeg,yuv4mpegpipe"
)
"""FFmpeg's names of the formats that are opened: containers and bare streams, no playlists."""

FALLBACK_RATE = Fraction(25)

_DEFAULT, _ATTACHED = 0x1, 0x400
"""FFmpeg's dispositions of a stream: the one to show, and a picture such as a cover."""


@contextmanager
def opened(source: Path | Member, num_threads: int) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its best video stream, and closes both at the end.

    Args:
        source: a video file, or a member of a tar shard.
        num_threads: decoding threads, 0 for one on each core.

    Raises:
        UserError: the file is missing, is no video, or has too large a picture.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_pixels": str(images.MAX_PIXELS),
    }
    if isinstance(source, Path):
        files.check_regular(source)
    try:
        file = f"file:{source.absolute()}" if isinstance(source, Path) else source.open()
        container = av.open(file, mode="r", options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UserError(f"{source}: cannot be read as a video ({describe(error)})") from error
    with container:
        stream = best_stream(container)
        if stream is None:
            raise UserError(f"{source}: no video in this file")
        images.check_size(source, stream.codec_context.height, stream.codec_context.width)
        stream.codec_context.options = {"max_pixels": str(images.MAX_PIXELS)}
        stream.codec_context.thread_count = num_threads
        stream.thread_type = "SLICE" if num_threads == 1 else "AUTO"
        yield container, stream


def best_stream(container: InputContainer) -> VideoStream | None:
    """The video stream that ffmpeg shows: the default one, then the one with the most pixels.

    Streams of codecs that FFmpeg does not know are left aside, and so is a cover, unless there is
    nothing else.
    """
    known = [stream for stream in container.streams.video if stream.codec_context is not None]
    return max(known, key=_rank, default=None)


def _rank(stream: VideoStream) -> int:
    """The score by which ffmpeg's own program chooses among streams (map_auto_video)."""
    disposition = int(getattr(stream, "disposition", 0))
    if disposition & _ATTACHED:
        return 1
    pixels = stream.codec_context.height * stream.codec_context.width
    return pixels + (5_000_000 if disposition & _DEFAULT else 0)


def describe(error: Exception) -> str:
    """Why a file could not be opened or decoded, in FFmpeg's words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def rate(stream: VideoStream) -> Fraction:
    """The stream's average frames per second, 25 where the file does not tell."""
    return stream.average_rate or stream.guessed_rate or FALLBACK_RATE

"""Decoded frames of many videos on disk: memory-mapped arrays, read without decoding again."""

from __future__ import annotations

import hashlib
import os
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import files
from scalable_binding.data.frames import images, sources, videos
from scalable_binding.data.frames.sources import FrameFolder, UnusableVideoWarning, Video
from scalable_binding.errors import UserError


class NotStoredError(UserError):
    """Decoded frames cannot be written, for no video."""


@dataclass(frozen=True)
class StoredVideo:
    """A video's frames ``(t h w 3)``, uint8, in a ``.npy`` file.

    ``root`` counts the roots that the videos were found under.
    """

    path: Path
    root: int
    num_frames: int

    def read(self, numbers: Sequence[int]) -> UInt8[Tensor, "t 3 h w"]:
        """Some of the frames, in the order asked for; only these are read from the disk."""
        frames = np.load(self.path, mmap_mode="r")
        picked = torch.from_numpy(np.stack([frames[number] for number in numbers]))
        return rearrange(picked, "t h w c -> t c h w")


def store(
    roots: Sequence[Path],
    folder: Path,
    *,
    fps: float,
    size: int,
    folder_fps: float = videos.FOLDER_FPS,
) -> list[StoredVideo]:
    """Decode every video under ``roots`` once into ``folder``, and list what lies there.

    A video that is there already is not decoded again; one that cannot be read is warned of and
    left out. Takes ``3 * height * width`` bytes a frame.

    Args:
        roots: folders of videos, of folders of frames, or of tar shards.
        folder: for one ``.npy`` file a video; may be shared between runs.
        fps: frames a second to keep.
        size: pixels to which the short side is resized.
        folder_fps: frames a second that folders of frames are taken to have.

    Raises:
        UserError: no video is found under a root, not one can be read, or no room to write.
    """
    if not roots:
        raise UserError("training data", expected="folders of videos", got="none")
    found: list[StoredVideo] = []
    reason = ""
    for number, root in enumerate(roots):
        for video in sources.find_videos(root):
            path = folder / f"{_key(video, fps, size, folder_fps)}.npy"
            try:
                if _num_stored(path) is None:
                    _write(path, _frames(video, fps, size, folder_fps))
            except NotStoredError:
                raise
            except UserError as error:
                reason = str(error)
                warnings.warn(f"a video is left out: {reason}", UnusableVideoWarning, stacklevel=2)
                continue
            found.append(StoredVideo(path, number, _num_stored(path) or 0))
    if not found:
        raise UserError(f"none of the videos can be read; the last one: {reason}")
    return found


def _num_stored(path: Path) -> int | None:
    """Frames in a file of the store; None where none is there, or a damaged or foreign file."""
    try:
        files.check_regular(path)
        frames = np.load(path, mmap_mode="r")
    except (UserError, OSError, EOFError, ValueError, SyntaxError, tokenize.TokenError):
        return None
    return len(frames) if frames.ndim == 4 and frames.dtype == np.uint8 else None


def _frames(
    video: Video, fps: float, size: int, folder_fps: float
) -> Iterator[UInt8[Tensor, "3 h w"]]:
    if not isinstance(video, FrameFolder):
        return videos.stream(video, fps=fps, size=size)
    length = len(video.frames) / folder_fps
    numbers = [int(step * folder_fps / fps) for step in range(max(int(length * fps), 1))]
    return (images.read(video.frames[number], size=size) for number in numbers)


def _write(path: Path, frames: Iterator[UInt8[Tensor, "3 h w"]]) -> None:
    array = np.stack([frame.permute(1, 2, 0).numpy() for frame in frames])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, array)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise NotStoredError(f"cannot write {path}: {error.strerror}") from error


def _key(video: Video, fps: float, size: int, folder_fps: float) -> str:
    """A file name for a video at a rate and a size, that changes with the video's file."""
    name = str(video)
    if isinstance(video, Path):
        status = video.stat()
        name += f"|{status.st_size}|{status.st_mtime_ns}"
    text = f"{name}|{fps:g}|{size}|{folder_fps:g}"
    stem = Path(str(video)).stem.replace(":", "-")[:40]
    return f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

"""A folder of masks, one image a frame (DAVIS), or one mask of one frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks, tracks
from scalable_binding.data.labels.tracks import Shape, Video, VideoTracks
from scalable_binding.errors import UserError


def read(path: str | Path, video: Video, frame: int = 0) -> VideoTracks:
    """The tracks of a folder of masks, or of one mask of the given frame.

    Names of files tell the frames, as those of the video's frames or by the number that they end
    in. A mask tells of all objects: one that was there before and is missing is not to be seen.

    Raises:
        UserError: there is no mask, one cannot be read, or its size or frame is not the video's.
    """
    path = Path(path)
    found: Iterable[tuple[int, np.ndarray]]
    if path.is_dir():
        found = ((frame, ids.numpy()) for frame, ids in stream(path, video))
    else:
        ids = masks.read(path)
        tracks.check_size(f"mask {path}", video, *ids.shape)
        found = [(frame, ids.numpy())]
    labels = tracks.of_masks(video, found, {})
    built = ((track.id, track.name, track.shapes) for track in labels.tracks)
    return tracks.build(str(path), video, built)


def stream(folder: Path, video: Video) -> Iterator[tuple[int, UInt8[Tensor, "h w"]]]:
    """The masks of a folder with the numbers of their frames, in order.

    Raises:
        UserError: as :func:`read`.
    """
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}")
    files = images.list_frames(folder)
    if not files:
        raise UserError(f"{folder}: no masks in this folder", expected="PNGs such as 00000.png")
    numbered = sorted((video.frame_number(file.stem, str(file)), file) for file in files)
    for (frame, file), ids in zip(
        numbered, masks.stream([file for _, file in numbered]), strict=True
    ):
        tracks.check_size(f"mask {file}", video, *ids.shape)
        yield frame, ids


def write(path: str | Path, labels: VideoTracks) -> None:
    """Write masks and boxes (filled) as indexed PNGs, one a frame.

    Raises:
        UserError: there are no masks or boxes, the folder exists and is not empty, or it cannot be
            written.
    """
    path = Path(path)
    check_writable(path, labels)
    with atomic.replacing(path) as temporary:
        temporary.mkdir()
        for frame, ids in render(labels):
            masks.write(temporary / f"{labels.video.frame_name(frame)}.png", ids)
        if path.is_dir():
            path.rmdir()


def check_writable(path: Path, labels: VideoTracks) -> None:
    """Nothing, when labels can become masks in a new folder.

    Raises:
        UserError: they are points, or something is there.
    """
    if not any(shape.mask or shape.box for track in labels.tracks for shape in track.shapes):
        raise UserError(f"{path}: masks", expected="masks or boxes", got="points")
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise UserError(f"{path} exists and is not an empty folder", fix="choose another name")


def render(labels: VideoTracks) -> Iterator[tuple[int, UInt8[Tensor, "h w"]]]:
    """The ids of every pixel of every frame, whether or not there is an object."""
    by_frame: dict[int, list[tuple[int, Shape]]] = {}
    for track in labels.tracks:
        for shape in track.shapes:
            by_frame.setdefault(shape.frame, []).append((track.id, shape))
    for frame in range(labels.length):
        ids = tracks.render(by_frame.get(frame, ()), labels.video.height, labels.video.width)
        yield frame, torch.from_numpy(ids)

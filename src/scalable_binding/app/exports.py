"""Labels of a video in the formats that other tools read, and back."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import ImageColor
from torch import Tensor

from scalable_binding.app import label_files
from scalable_binding.app.video_labels import VideoLabels
from scalable_binding.atomic import replacing
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import formats
from scalable_binding.errors import UserError, require_one_of
from scalable_binding.plots.overlay import contours

PARTIAL = "partial-"
"""How the names of unfinished exports begin."""

Progress = Iterator[tuple[int, int]]


@dataclass(frozen=True)
class Format:
    """An export: its name for people, the suffix of its file ("" for a folder), and its writer.

    The writer yields (frames done, frames in all) as it goes.
    """

    title: str
    suffix: str
    write: Callable[[VideoLabels, Path], Progress]


def export(labels: VideoLabels, kind: str, path: Path) -> Progress:
    """Write the labels of all frames; the file or folder appears whole at the end.

    Raises:
        UserError: no such format, nothing is labeled, or the path cannot be written.
    """
    require_one_of("export format", kind, FORMATS)
    if not labels.project.statuses():
        raise UserError("nothing is labeled yet", fix="mark an object in a frame first")
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{path} exists and is not an empty folder", fix="choose another name")
    with replacing(path) as temporary:
        yield from FORMATS[kind].write(labels, temporary)
        if path.is_dir():
            path.rmdir()


def export_archive(labels: VideoLabels, kind: str, folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Export into ``folder`` as one file, a folder as a zip archive; yields its path too.

    Raises:
        UserError: as :func:`export`.
    """
    require_one_of("export format", kind, FORMATS)
    suffix = FORMATS[kind].suffix
    stem = f"{labels.frames.path.stem}-{kind}"
    target = folder / f"{stem}{suffix or '.zip'}"
    if suffix:
        for done, total in export(labels, kind, target):
            yield done, total, target
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as temporary:
        for done, total in export(labels, kind, Path(temporary) / stem):
            yield done, total, target
        with replacing(target) as archive:
            _zip(Path(temporary) / stem, archive, stem)
    yield total, total, target


def _zip(folder: Path, archive: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for each in sorted(folder.rglob("*")):
            target.write(each, Path(name) / each.relative_to(folder))


def _write_tracks(kind: str) -> Callable[[VideoLabels, Path], Progress]:
    """A writer of one of the formats of other tools."""
    suffix = formats.FORMATS[kind].suffix

    def write(labels: VideoLabels, path: Path) -> Progress:
        count = labels.frames.num_frames
        for done, found in label_files.to_tracks(labels):
            yield done, count
            if found is not None:
                target = path.with_name(f"{path.name}{suffix}") if suffix else path
                formats.write(target, found, kind)
                if suffix:
                    target.replace(path)

    return write


def _write_overlay(labels: VideoLabels, path: Path) -> Progress:
    target = path.with_suffix(".mp4")
    count = labels.frames.num_frames
    progress: list[int] = []

    def drawn() -> Iterator[UInt8[Tensor, "3 h w"]]:
        for number, frame in enumerate(labels.frames.walk_shown()):
            progress.append(number)
            yield draw_overlay(labels, frame, labels.ids(number))

    videos.write(target, drawn(), fps=labels.frames.fps)
    target.replace(path)
    yield count, count


def draw_overlay(
    labels: VideoLabels, frame: UInt8[Tensor, "3 h w"], ids: UInt8[np.ndarray, "h w"]
) -> UInt8[Tensor, "3 h w"]:
    """A frame with its objects tinted and outlined in their own colors."""
    colors = torch.zeros(256, 3)
    for each in labels.objects:
        colors[each.id] = torch.tensor(ImageColor.getrgb(each.color)).float()
    numbers = torch.from_numpy(ids)
    inside, outline = numbers > 0, contours(numbers, max(1, min(ids.shape) // 240))
    picture = frame.float()
    picture[:, inside] = picture[:, inside].lerp(colors[numbers[inside].long()].T, 0.45)
    picture[:, outline] = colors[numbers[outline].long()].T
    return picture.round().clamp(0, 255).byte()


_OVERLAY = Format("Video with overlays (MP4)", ".mp4", _write_overlay)

FORMATS = {
    **{
        name: Format(each.title, each.suffix, _write_tracks(name))
        for name, each in formats.FORMATS.items()
    },
    "overlay": _OVERLAY,
}
"""By the name that :func:`export` takes."""

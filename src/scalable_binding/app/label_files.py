"""Label files of other tools: a session's labels as tracks, and tracks taken into a session."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from scalable_binding import files
from scalable_binding.app import objects
from scalable_binding.app.project import Kind, Label, pack_mask
from scalable_binding.app.video_labels import VideoLabels, resize_mask
from scalable_binding.data.labels import formats, rle, tracks
from scalable_binding.data.labels.documents import load_json
from scalable_binding.data.labels.tracks import Point, Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError

SUFFIXES = (".png", ".json", ".xml", ".csv", ".tsv", ".txt", ".zip")
"""Of files that labels are read from."""

_MAX_FILES = 200_000
_MAX_BYTES = 4 * 2**30  # of an archive's content


def to_tracks(labels: VideoLabels) -> Iterator[tuple[int, VideoTracks | None]]:
    """The labels of all frames at the video's own size; yields the frames done, at last the tracks.

    Masks that overlap in the project do not in the tracks: each pixel has one object.
    """
    count = labels.frames.num_frames
    video = _video(labels)
    names = {each.id: each.name for each in labels.objects}
    shapes: dict[int, list[Shape]] = {}
    points: dict[int, list[Shape]] = {}
    for frame in range(count):
        ids = labels.ids(frame, own_size=True)
        for track in tracks.of_masks(video, [(frame, ids)], names).tracks:
            shapes.setdefault(track.id, []).extend(track.shapes)
        for before in shapes.values():
            if before[-1].frame < frame and not before[-1].is_absent:
                before.append(Shape(frame=frame))
        for number, (x, y, confidence) in labels.points(frame).items():
            place = Point(names[number], *_scaled(labels, x, y), confidence)
            points.setdefault(number, []).append(Shape(frame=frame, points=(place,)))
        yield frame + 1, None
    rows = {**shapes, **points}
    yield (
        count,
        VideoTracks(
            video=video,
            tracks=tuple(Track(id=n, name=names[n], shapes=tuple(rows[n])) for n in sorted(rows)),
        ),
    )


def read(path: Path, labels: VideoLabels, frame: int = 0) -> VideoTracks:
    """The tracks of a label file, a folder of them, or an archive of such a folder.

    Besides the formats of :mod:`scalable_binding.data.labels.formats`, a JSON file may hold one
    mask of ``frame`` in COCO's run-length encoding: ``{"size": [h, w], "counts": ...}``.

    Raises:
        UserError: the file cannot be read, is of no known format, or is of another video.
    """
    video = _video(labels)
    if path.suffix.lower() == ".zip":
        with _unpacked(path) as folder:
            return formats.read(folder, video, frame)
    if path.suffix.lower() == ".json":
        content = load_json(path)
        if isinstance(content, dict) and set(content) == {"size", "counts"}:
            return _one_mask(path, content, video, frame)
    return formats.read(path, video, frame)


def take(labels: VideoLabels, found: VideoTracks, name: str, object_id: int | None = None) -> int:
    """Take tracks into a project as one edit; returns how many labels were set.

    A track becomes the object of its name, or of its id where it has no name. The only track of a
    file without names becomes ``object_id``, if one is given. Others become new objects. Labels in
    the file replace those of the same object and frame.

    Raises:
        UserError: a frame with labels is locked, an object is of another kind, or there are too
            many.
    """
    locked = sorted(set(found.frames) & labels.locked)
    if locked:
        raise UserError(f"frame {locked[0]} is locked", fix="unlock it to change its labels")
    project, count = labels.project, 0
    with project.lock, project.action(f"import {name}"):
        for track in found.tracks:
            only = object_id if len(found.tracks) == 1 else None
            for kind, title, shapes in _parts(track):
                number = _object_of(labels, track, kind, title, only)
                for shape in shapes:
                    label = _label(labels, shape, number)
                    project.change_label(shape.frame, number, label)
                    count += 1
    return count


def _video(labels: VideoLabels) -> Video:
    found = formats.video_of(labels.frames.path)
    return replace(found, num_frames=labels.frames.num_frames)


def _scaled(labels: VideoLabels, x: float, y: float) -> tuple[float, float]:
    """A place at the size shown in pixels of the video."""
    height, width = labels.frames.own
    across, down = width / labels.frames.width, height / labels.frames.height
    return (x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5


def _one_mask(path: Path, content: dict[str, object], video: Video, frame: int) -> VideoTracks:
    size, counts = content["size"], content["counts"]
    if size != [video.height, video.width]:
        expected = f"size [{video.height}, {video.width}]"
        raise UserError(f"{path.name}: mask", expected=expected, got=str(size)[:40])
    if isinstance(counts, str):
        mask = rle.Rle(video.height, video.width, counts.encode("ascii", "replace"))
    elif isinstance(counts, list):
        mask = rle.from_counts(counts, video.height, video.width)
    else:
        raise UserError(f"{path.name}: counts", expected="text, or a list of numbers")
    rle.decode(mask)  # damaged ones are refused here
    return tracks.build(str(path), video, [(1, "1", [Shape(frame=frame, mask=mask)])])


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The folder that an archive holds."""
    with tempfile.TemporaryDirectory(prefix="labels-") as temporary:
        try:
            with files.open_regular(path) as file, zipfile.ZipFile(file) as archive:
                rows = archive.infolist()
                if len(rows) > _MAX_FILES or sum(row.file_size for row in rows) > _MAX_BYTES:
                    expected = f"at most {_MAX_FILES} files and {_MAX_BYTES >> 30} GiB"
                    raise UserError(f"{path.name}: content", expected=expected, got="more")
                archive.extractall(temporary)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
            raise UserError(f"{path.name} cannot be unpacked ({error})") from error
        folder = Path(temporary)
        while len(inside := [*folder.iterdir()]) == 1 and inside[0].is_dir():
            folder = inside[0]
        yield inside[0] if len(inside) == 1 else folder


def _parts(track: Track) -> Iterator[tuple[Kind, str, Sequence[Shape]]]:
    """The mask of a track and each of its points, as objects of their own."""
    if any(shape.mask or shape.box for shape in track.shapes):
        yield "mask", track.name, [shape for shape in track.shapes if not shape.points]
    names = dict.fromkeys(point.name for shape in track.shapes for point in shape.points)
    for name in names:
        title = track.name if len(names) == 1 else f"{track.name} {name}"
        shapes = [
            replace(shape, points=own)
            for shape in track.shapes
            if (own := tuple(p for p in shape.points if p.name == name and p.confidence > 0))
        ]
        yield "point", title, shapes


def _object_of(labels: VideoLabels, track: Track, kind: Kind, title: str, only: int | None) -> int:
    """The object that a part of a track belongs to; a new one where there is none."""
    title = " ".join(title.split())[:80]
    is_named = title != str(track.id)
    for each in labels.objects:
        if each.kind == kind and (each.name == title if is_named else each.id == track.id):
            return each.id
    if only is not None and not is_named and labels.object(only).kind == kind:
        return only
    name = title if is_named else None
    if name is not None and any(each.name == name for each in labels.objects):
        name = f"{name[:70]} ({kind})"
    added = objects.new_object(labels.project, name, None, kind)
    labels.project.change_object(added)
    return added.id


def _label(labels: VideoLabels, shape: Shape, number: int) -> Label:
    if shape.points:
        height, width = labels.size
        across, down = width / labels.frames.own[1], height / labels.frames.own[0]
        point = shape.points[0]
        x = min(max((point.x + 0.5) * across - 0.5, 0.0), width - 1.0)
        y = min(max((point.y + 0.5) * down - 0.5, 0.0), height - 1.0)
        return Label(frame=shape.frame, object=number, given=True, x=x, y=y)
    mask = tracks.mask_of(shape, *labels.frames.own)
    if mask is None:
        mask = np.zeros(labels.frames.own, dtype=bool)
    return Label(
        frame=shape.frame,
        object=number,
        given=True,
        mask=pack_mask(resize_mask(mask, labels.size)),
    )

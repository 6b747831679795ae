"""Formats of label files: told apart by what is in them, read into tracks and written from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scalable_binding import files
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import (
    coco,
    cvat,
    keypoints,
    label_studio,
    mask_folders,
    tables,
    tracks,
    youtube_vos,
)
from scalable_binding.data.labels.documents import load_json
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.labels.tracks import Point, Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError, require_one_of

_MASKS, _POINTS = frozenset({"masks"}), frozenset({"points"})

_HEAD = 4096
"""Bytes by which a file is told to be XML, JSON or a table."""


@dataclass(frozen=True)
class Format:
    """How labels are written: its name for people, the suffix of its file ("" for a folder).

    ``holds`` are the kinds of labels that can be written: "masks" (and boxes), "points".
    """

    title: str
    suffix: str
    holds: frozenset[str]
    write: Callable[[Path, VideoTracks], None]


def video_of(path: str | Path) -> Video:
    """What label files have to agree with, from the header of a video or the names of its frames.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(path)
    info = videos.probe(path)
    frames: tuple[str, ...] = ()
    if path.is_dir():
        frames = tuple(frame.stem for frame in images.list_frames(path))
    name = path.resolve().name if path.is_dir() else path.stem
    return Video(
        name=name,
        height=info.height,
        width=info.width,
        num_frames=len(frames) or None,
        fps=info.fps,
        frames=frames,
    )


def detect(path: str | Path) -> str:
    """The format of a label file or folder, by its content.

    One of ``png``, ``youtube-vos``, ``cvat``, ``coco``, ``label-studio``, ``keypoints-json`` and
    ``table``.

    Raises:
        UserError: it cannot be read, or is none of them.
    """
    path = Path(path)
    if path.is_dir():
        return "youtube-vos" if (path / youtube_vos.META).is_file() else "png"
    with files.open_regular(path) as file:
        head = file.read(_HEAD) or b""
    if images.is_image(head) or path.suffix.lower() in images.SUFFIXES:
        return "png"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<") or head[:2] in (b"<\0", b"\0<"):
        return "cvat"
    if text.startswith((b"{", b"[")):
        return _json_kind(path, load_json(path))
    return "table"


def _json_kind(path: Path, content: Any) -> str:
    if coco.matches(content):
        return "coco"
    if youtube_vos.matches(content):
        return "youtube-vos"
    if label_studio.matches(content):
        return "label-studio"
    if isinstance(content, list):
        return "keypoints-json"
    expected = "COCO, YouTube-VOS, Label Studio, or a list of key points"
    raise UserError(f"{path}: JSON", expected=expected)


def read(path: str | Path, video: Video, frame: int = 0) -> VideoTracks:
    """The tracks of a label file or folder of any format.

    Args:
        path: a mask, a folder of masks, YouTube-VOS' layout, COCO JSON, CVAT for video, Label
            Studio's JSON, or a table or list of key points.
        video: what the labels are of.
        frame: of a single mask, whose name tells nothing.

    Raises:
        UserError: the file cannot be read, is of no known format, is malformed, or is of another
            video.
    """
    kind = detect(path)
    if kind == "png":
        return mask_folders.read(path, video, frame)
    if kind in ("table", "keypoints-json"):
        return of_keypoints(video, keypoints.read(path))
    readers = {
        "coco": coco.read,
        "cvat": cvat.read,
        "label-studio": label_studio.read,
        "youtube-vos": youtube_vos.read,
    }
    return readers[kind](path, video)


def write(path: str | Path, labels: VideoTracks, kind: str) -> None:
    """Write tracks in one of the ``FORMATS``; a file or folder appears whole or not at all.

    Raises:
        UserError: no such format, labels that it cannot hold, or a path that cannot be written.
    """
    require_one_of("format", kind, FORMATS)
    FORMATS[kind].write(Path(path), labels)


def of_keypoints(video: Video, points: list[Keypoint]) -> VideoTracks:
    """Tracks of one point each, named by their ids."""
    found: dict[int, list[Shape]] = {}
    for point in points:
        place = Point(str(point.id), point.x, point.y, point.confidence)
        found.setdefault(point.id, []).append(Shape(frame=point.frame, points=(place,)))
    rows = ((number, str(number), shapes) for number, shapes in found.items())
    return tracks.build("key points", video, rows, any_ids=True)


def to_keypoints(labels: VideoTracks) -> list[Keypoint]:
    """The points of all tracks, each with an id of its own, in the order of frames and ids.

    Tracks of one point keep their ids; where one has several, all are numbered 1, 2, ... by track
    and name.
    """
    found: list[Keypoint] = []
    ids = point_ids(labels)
    for track in labels.tracks:
        for shape in track.shapes:
            for point in shape.points:
                number = ids[track.id, point.name]
                found.append(Keypoint(shape.frame, number, point.x, point.y, point.confidence))
    return sorted(found, key=lambda point: (point.frame, point.id))


def point_ids(labels: VideoTracks) -> dict[tuple[int, str], int]:
    """The id of each point by its track's id and its name."""
    names = [
        (track.id, name)
        for track in labels.tracks
        for name in dict.fromkeys(point.name for s in track.shapes for point in s.points)
    ]
    if len({track for track, _ in names}) == len(names):
        return {name: name[0] for name in names}
    return {name: number for number, name in enumerate(names, 1)}


def with_keypoints(labels: VideoTracks, points: list[Keypoint]) -> VideoTracks:
    """The tracks of ``labels`` with other points, by the ids that :func:`to_keypoints` gives."""
    ids = point_ids(labels)
    by_frame: dict[tuple[int, int], Keypoint] = {(p.frame, p.id): p for p in points}
    frames = sorted({point.frame for point in points})
    found: list[Track] = []
    for track in labels.tracks:
        own = [(name, number) for (owner, name), number in ids.items() if owner == track.id]
        shapes = []
        for frame in frames:
            here = ((name, by_frame.get((frame, number))) for name, number in own)
            places = tuple(Point(name, p.x, p.y, p.confidence) for name, p in here if p is not None)
            if places:
                shapes.append(Shape(frame=frame, points=places))
        found.append(replace(track, shapes=tuple(shapes)))
    return replace(labels, tracks=tuple(found))


def _write_table(separator: tables.Separator) -> Callable[[Path, VideoTracks], None]:
    def write_points(path: Path, labels: VideoTracks) -> None:
        points = to_keypoints(labels)
        if not points:
            raise UserError(f"{path}: key points", expected="points", got="masks or boxes")
        keypoints.write(path, points, separator)

    return write_points


FORMATS = {
    "png": Format("Indexed PNG, one a frame (DAVIS)", "", _MASKS, mask_folders.write),
    "youtube-vos": Format("YouTube-VOS layout", "", _MASKS, youtube_vos.write),
    "coco": Format("COCO JSON, video instances with RLE", ".json", _MASKS, coco.write),
    "coco-keypoints": Format("COCO key points", ".json", _POINTS, coco.write_keypoints),
    "cvat": Format("CVAT for video 1.1", ".xml", _MASKS | _POINTS, cvat.write),
    "label-studio": Format("Label Studio video (boxes)", ".json", _MASKS, label_studio.write),
    "csv": Format("Key points, CSV with commas", ".csv", _POINTS, _write_table(",")),
    "csv-semicolon": Format("Key points, CSV with semicolons", ".csv", _POINTS, _write_table(";")),
    "csv-tab": Format("Key points, CSV with tabs", ".csv", _POINTS, _write_table("\t")),
}
"""By the names that :func:`write` takes."""

"""Label Studio's video JSON: boxes by key frames, in percent of the frame, frames from 1."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scalable_binding import atomic
from scalable_binding.data.labels import polygons, rle, tracks
from scalable_binding.data.labels.documents import entry, load_json, number, whole
from scalable_binding.data.labels.tracks import Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError

Row = Mapping[str, Any]


def matches(content: Any) -> bool:
    """Whether JSON is an export of Label Studio: a task, or a list of tasks."""
    rows = content if isinstance(content, list) else [content]
    return bool(rows) and all(isinstance(row, Mapping) and _is_task(row) for row in rows)


def _is_task(row: Row) -> bool:
    return isinstance(row.get("data"), Mapping) or any(_regions_of(row))


def read(path: str | Path, video: Video) -> VideoTracks:
    """The tracks of a task of Label Studio with a video (JSON, or JSON-MIN): boxes at key frames.

    A turned box becomes a mask. After a key frame that is not ``enabled``, the object is not to be
    seen.

    Raises:
        UserError: the file cannot be read or is malformed, holds no boxes of a video, or none of
            this one.
    """
    what = str(path)
    content = load_json(Path(path))
    if not matches(content):
        raise UserError(what, expected="an export of Label Studio with a video")
    tasks: list[Row] = content if isinstance(content, list) else [content]
    if len(tasks) > 1:
        tasks = [row for row in tasks if _names(row, video.name)]
        if len(tasks) != 1:
            raise UserError(f"{what}: tasks", expected=f"one of the video {video.name}")
    found: list[tuple[int, str, list[Shape]]] = []
    for region in _regions(what, tasks[0]):
        place = f"{what}, region {len(found) + 1}"
        labels = entry(place, region, "labels", list, [])
        shapes = [*_shapes(place, region, video)]
        found.append((len(found) + 1, str(labels[0]) if labels else "object", shapes))
    return tracks.build(what, video, found)


def _names(row: Row, name: str) -> bool:
    """Whether a task is of the video; uploaded files have a number before their names."""
    data = row.get("data")
    texts = [*data.values()] if isinstance(data, Mapping) else [*row.values()]
    stems = [PurePosixPath(text).stem for text in texts if isinstance(text, str)]
    return any(stem == name or stem.endswith(f"-{name}") for stem in stems)


def _regions(what: str, task: Row) -> Iterator[Row]:
    """The values of a task's video regions."""
    if not isinstance(task.get("data"), Mapping):
        yield from _regions_of(task)
        return
    given = entry(what, task, "annotations", list, []) or entry(what, task, "predictions", list, [])
    usable = [row for row in given if isinstance(row, Mapping) and not row.get("was_cancelled")]
    if len(usable) > 1:
        text = f"{what} has {len(usable)} annotations of one task; the first one is read"
        warnings.warn(text, stacklevel=4)
    for row in usable[:1]:
        for result in entry(what, row, "result", list):
            value = result.get("value") if isinstance(result, Mapping) else None
            if isinstance(value, Mapping) and "sequence" in value:
                yield value


def _regions_of(task: Row) -> Iterator[Row]:
    """The regions of a task in the small form (JSON-MIN): lists beside its other fields."""
    for values in task.values():
        for value in values if isinstance(values, list) else ():
            if isinstance(value, Mapping) and isinstance(value.get("sequence"), list):
                yield value


def _shapes(place: str, region: Row, video: Video) -> Iterator[Shape]:
    sequence = entry(place, region, "sequence", list)
    if len(sequence) > tracks.MAX_SHAPES:
        raise UserError(place, expected=f"at most {tracks.MAX_SHAPES} key frames")
    rows = [
        (whole(f"{place}: frame", entry(place, row, "frame", int)) - 1, row) for row in sequence
    ]
    rows.sort(key=lambda row: row[0])
    for index, (frame, row) in enumerate(rows):
        yield _shape(f"{place}, frame {frame + 1}", frame, row, video)
        following = rows[index + 1][0] if index + 1 < len(rows) else video.num_frames
        is_last = following is not None and following <= frame + 1
        if row.get("enabled", True) is False and not is_last:
            yield Shape(frame=frame + 1)


def _shape(place: str, frame: int, row: Row, video: Video) -> Shape:
    names = ("x", "y", "width", "height")
    x, y, width, height = (number(f"{place}: {key}", row.get(key)) / 100 for key in names)
    x, width = x * video.width, width * video.width
    y, height = y * video.height, height * video.height
    turn = math.radians(number(f"{place}: rotation", row.get("rotation", 0)))
    if turn == 0:
        return Shape(frame=frame, box=(x, y, x + width, y + height))
    across = np.array([math.cos(turn), math.sin(turn)]) * width
    down = np.array([-math.sin(turn), math.cos(turn)]) * height
    corners = np.array([x, y]) + np.array([0 * across, across, across + down, down])
    mask = polygons.fill([corners], video.height, video.width)
    return Shape(frame=frame, mask=rle.encode(mask))


def write(path: str | Path, labels: VideoTracks) -> None:
    """Write the boxes of all objects as a task with predictions, which Label Studio imports.

    Masks become the smallest boxes around them: its video labels hold no masks and no points.

    Raises:
        UserError: there are only points, or the file cannot be written.
    """
    if not any(shape.mask or shape.box for track in labels.tracks for shape in track.shapes):
        raise UserError(f"{path}: Label Studio", expected="masks or boxes", got="points")
    results = [_result(track, labels) for track in labels.tracks]
    task = {
        "data": {"video": labels.video.name},
        "predictions": [{"model_version": "scalable-binding", "result": results}],
    }
    with atomic.replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps([task]) + "\n", encoding="utf-8")


def _result(track: Track, labels: VideoTracks) -> dict[str, Any]:
    video = labels.video
    seen = [(shape.frame, box) for shape in track.shapes if (box := tracks.box_of(shape))]
    absent = {shape.frame for shape in track.shapes if shape.is_absent}
    return {
        "id": f"object-{track.id}",
        "type": "videorectangle",
        "from_name": "box",
        "to_name": "video",
        "origin": "prediction",
        "value": {
            "framesCount": labels.length,
            "duration": labels.length / video.fps,
            "sequence": [
                _key_frame(video, frame, box, enabled=frame + 1 not in absent)
                for frame, box in seen
            ],
            "labels": [track.name],
        },
    }


def _key_frame(
    video: Video, frame: int, box: tuple[float, float, float, float], *, enabled: bool
) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "frame": frame + 1,
        "enabled": enabled,
        "rotation": 0,
        "x": 100 * x0 / video.width,
        "y": 100 * y0 / video.height,
        "width": 100 * (x1 - x0) / video.width,
        "height": 100 * (y1 - y0) / video.height,
        "time": frame / video.fps,
    }

"""COCO JSON: masks of video instances (YouTube-VIS), masks of images with tracks, key points.

Masks are in run-length encoding, compressed or not, or polygons. Frames of images are told by
``frame_index`` (or ``frame_id``) or by the names of their files; the object of an annotation by
``track_id`` or ``instance_id``, in the annotation or its ``attributes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from scalable_binding import atomic
from scalable_binding.data.labels import polygons, rle, tracks
from scalable_binding.data.labels.documents import entry, load_json, number, whole
from scalable_binding.data.labels.rle import Rle
from scalable_binding.data.labels.tracks import Point, Shape, Video, VideoTracks
from scalable_binding.errors import UserError

_FRAME_KEYS = ("frame_index", "frame_id")
_TRACK_KEYS = ("track_id", "instance_id")


@dataclass
class _Track:
    name: str
    shapes: list[Shape] = field(default_factory=list)


def matches(content: Any) -> bool:
    """Whether JSON is COCO's."""
    return (
        isinstance(content, Mapping)
        and "annotations" in content
        and ("images" in content or "videos" in content)
    )


def read(path: str | Path, video: Video) -> VideoTracks:
    """The tracks of a COCO file: masks or boxes of video instances or of images, or key points.

    An annotation with key points gives these, else its segmentation, else its box. Several videos
    in one file are told apart by their names.

    Raises:
        UserError: the file cannot be read or is malformed, or of another video.
    """
    what = str(path)
    content = load_json(Path(path))
    if not matches(content):
        raise UserError(what, expected="COCO JSON, with annotations and images or videos")
    categories = {
        whole(f"{what}: id of a category", row.get("id")): row
        for row in _rows(what, content, "categories")
    }
    names = {
        number: entry(f"{what}: category {number}", row, "name", str, str(number))
        for number, row in categories.items()
    }
    annotations = _rows(what, content, "annotations")
    if any("segmentations" in row or "bboxes" in row for row in annotations):
        found = _read_instances(what, content, annotations, names, video)
    else:
        found = _read_images(what, content, annotations, categories, names, video)
    return tracks.build(what, video, ((key, each.name, each.shapes) for key, each in found.items()))


def _rows(what: str, content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = entry(what, content, name, list, [])
    if not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f"{what}: {name}", expected="a list of objects")
    if len(rows) > tracks.MAX_SHAPES:
        expected = f"at most {tracks.MAX_SHAPES}"
        raise UserError(f"{what}: {name}", expected=expected, got=str(len(rows)))
    return rows


def _read_instances(
    what: str,
    content: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    names: Mapping[int, str],
    video: Video,
) -> dict[int, _Track]:
    chosen = _video_of(what, content, video)
    stems = [PurePosixPath(str(name)).stem for name in entry(what, chosen, "file_names", list, [])]
    found: dict[int, _Track] = {}
    for row in annotations:
        place = f"{what}, annotation {row.get('id')}"
        if row.get("video_id", chosen["id"]) != chosen["id"]:
            continue
        masks = entry(place, row, "segmentations", list, [])
        boxes = entry(place, row, "bboxes", list, [])
        track = _Track(names.get(row.get("category_id", 0), "object"))
        for index in range(max(len(masks), len(boxes))):
            mask = masks[index] if index < len(masks) else None
            box = boxes[index] if index < len(boxes) else None
            frame = index
            if video.frames and index < len(stems):
                frame = video.frame_number(stems[index], place)
            shape = _shape(place, {"segmentation": mask, "bbox": box}, frame, (), video)
            if shape is not None:
                track.shapes.append(shape)
        key = whole(f"{place}: id", row.get("id", len(found) + 1))
        if key in found:
            raise UserError(f"{place}: its id occurs twice")
        found[key] = track
    return found


def _video_of(what: str, content: Mapping[str, Any], video: Video) -> Mapping[str, Any]:
    """The row of the one video in a file, or of the one with the name of ours."""
    rows = _rows(what, content, "videos")
    if len(rows) != 1:
        rows = [row for row in rows if _video_name(row) == video.name]
    if len(rows) != 1 or "id" not in rows[0]:
        raise UserError(f"{what}: videos", expected=f"one with the name {video.name}")
    (row,) = rows
    if "height" in row and "width" in row:
        size = (whole(f"{what}: size", row["height"]), whole(f"{what}: size", row["width"]))
        tracks.check_size(f"{what}: labels", video, *size)
    return row


def _video_name(row: Mapping[str, Any]) -> str:
    if "name" in row:
        return PurePosixPath(str(row["name"])).stem
    first = next(iter(row.get("file_names") or [""]), "")
    return PurePosixPath(str(first)).parent.name


def _read_images(
    what: str,
    content: Mapping[str, Any],
    annotations: Sequence[Mapping[str, Any]],
    categories: Mapping[int, Mapping[str, Any]],
    names: Mapping[int, str],
    video: Video,
) -> dict[int, _Track]:
    frames = _frames_of_images(what, _rows(what, content, "images"), video)
    labeled = {repr(row.get("image_id")) for row in annotations}
    found: dict[int, _Track] = {}
    for index, row in enumerate(annotations, 1):
        place = f"{what}, annotation {row.get('id', index)}"
        image = row.get("image_id")
        if not isinstance(image, int | str) or image not in frames:
            raise UserError(f"{place}: image_id", expected="an image of the file", got=str(image))
        track = _track_key(place, row)
        if track is None:
            if len(labeled) > 1:
                expected = "a track_id that tells which object of other images it is"
                raise UserError(f"{place}", expected=expected, got="none")
            track = index
        category = row.get("category_id", 0)
        points = _point_names(categories.get(category, {}))
        shape = _shape(place, row, frames[image], points, video)
        if shape is not None:
            found.setdefault(track, _Track(names.get(category, "object"))).shapes.append(shape)
    return found


def _frames_of_images(
    what: str, rows: Sequence[Mapping[str, Any]], video: Video
) -> dict[int | str, int]:
    frames: dict[int | str, int] = {}
    for row in rows:
        place, key = f"{what}, image {row.get('id')}", row.get("id")
        if not isinstance(key, int | str) or key in frames:
            raise UserError(f"{place}: id", expected="a number of its own")
        if "height" in row and "width" in row:
            size = (whole(f"{place}: size", row["height"]), whole(f"{place}: size", row["width"]))
            tracks.check_size(place, video, *size)
        given = next((row[name] for name in _FRAME_KEYS if row.get(name) is not None), None)
        if given is not None:
            frames[key] = whole(f"{place}: frame", given)
        elif len(rows) == 1 and not video.frames:
            frames[key] = 0
        else:
            stem = PurePosixPath(entry(place, row, "file_name", str)).stem
            frames[key] = video.frame_number(stem, place)
    return frames


def _track_key(place: str, row: Mapping[str, Any]) -> int | None:
    attributes = entry(place, row, "attributes", dict, {})
    for source in (row, attributes):
        for name in _TRACK_KEYS:
            if source.get(name) is not None:
                return whole(f"{place}: {name}", source[name])
    return None


def _point_names(category: Mapping[str, Any]) -> tuple[str, ...]:
    given = category.get("keypoints")
    return tuple(map(str, given)) if isinstance(given, list) else ()


def _shape(
    place: str, row: Mapping[str, Any], frame: int, names: Sequence[str], video: Video
) -> Shape | None:
    """The shape of an annotation in one frame; None where it has none."""
    points = _points(place, row.get("keypoints"), names)
    if points:
        return Shape(frame=frame, points=points)
    mask = row.get("segmentation")
    if mask:
        return Shape(frame=frame, mask=_mask(place, mask, video))
    box = row.get("bbox")
    if not box:
        return None
    if not isinstance(box, list) or len(box) != 4:
        raise UserError(f"{place}: bbox", expected="four numbers: x, y, width, height")
    x, y, width, height = (number(f"{place}: bbox", value) for value in box)
    if width <= 0 or height <= 0:
        return None
    return Shape(frame=frame, box=(x, y, x + width, y + height))


def _points(place: str, given: object, names: Sequence[str]) -> tuple[Point, ...]:
    """The points of an annotation that are labeled, by the names of its category."""
    if not given:
        return ()
    if not isinstance(given, list) or len(given) % 3:
        raise UserError(f"{place}: keypoints", expected="x, y and visibility of each")
    values = [number(f"{place}: keypoints", value) for value in given]
    found = []
    for index, (x, y, seen) in enumerate(zip(values[::3], values[1::3], values[2::3], strict=True)):
        if seen:
            name = names[index] if index < len(names) else str(index + 1)
            found.append(Point(name, x, y, float(seen > 1)))
    return tuple(found)


def _mask(place: str, given: object, video: Video) -> Rle:
    height, width = video.height, video.width
    if isinstance(given, Mapping):
        size = entry(place, given, "size", list)
        if len(size) != 2:
            raise UserError(f"{place}: size", expected="height and width")
        rows, columns = (whole(f"{place}: size", side) for side in size)
        tracks.check_size(place, video, rows, columns)
        runs = given.get("counts")
        try:
            if isinstance(runs, list):
                return rle.from_counts(runs, height, width)
            if isinstance(runs, str) and runs.isascii():
                mask = Rle(height, width, runs.encode("ascii"))
                rle.counts(mask)
                return mask
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
        raise UserError(f"{place}: counts", expected="a list of numbers or a text")
    if not isinstance(given, list) or not all(isinstance(each, list) for each in given):
        raise UserError(f"{place}: segmentation", expected="run lengths or polygons")
    rings = []
    for ring in given:
        values = [number(f"{place}: polygon", value) for value in ring]
        if len(values) < 6 or len(values) % 2:
            raise UserError(f"{place}: polygon", expected="x and y of at least three corners")
        rings.append(np.array(values).reshape(-1, 2))
    return rle.encode(polygons.fill(rings, height, width))


def write(path: str | Path, labels: VideoTracks) -> None:
    """Write masks and boxes as COCO video instances (YouTube-VIS), run lengths compressed.

    Raises:
        UserError: there are no masks or boxes, or the file cannot be written.
    """
    video, length, categories = labels.video, labels.length, _categories(labels)
    rows = [
        _instance(track, labels, categories[track.name])
        for track in labels.tracks
        if any(shape.mask or shape.box for shape in track.shapes)
    ]
    if not rows:
        raise UserError(f"{path}: COCO", expected="masks or boxes", got="points")
    content = {
        "videos": [
            {
                "id": 1,
                "name": video.name,
                "height": video.height,
                "width": video.width,
                "length": length,
                "file_names": [
                    f"{video.name}/{video.frame_name(each)}.jpg" for each in range(length)
                ],
            }
        ],
        "categories": [{"id": key, "name": name} for name, key in categories.items()],
        "annotations": rows,
    }
    _save(path, content)


def _categories(labels: VideoTracks) -> dict[str, int]:
    names = dict.fromkeys(track.name for track in labels.tracks)
    return {name: key for key, name in enumerate(names, 1)}


def _instance(track: tracks.Track, labels: VideoTracks, category: int) -> dict[str, Any]:
    masks: list[Any] = [None] * labels.length
    boxes: list[Any] = [None] * labels.length
    areas: list[Any] = [None] * labels.length
    for shape in track.shapes:
        box = tracks.box_of(shape)
        if box is None:
            continue
        x0, y0, x1, y1 = box
        boxes[shape.frame] = [x0, y0, x1 - x0, y1 - y0]
        areas[shape.frame] = (x1 - x0) * (y1 - y0)
        if shape.mask is not None:
            masks[shape.frame] = _segmentation(shape.mask)
            areas[shape.frame] = int(rle.counts(shape.mask)[1::2].sum())
    return {
        "id": track.id,
        "video_id": 1,
        "category_id": category,
        "iscrowd": 0,
        "height": labels.video.height,
        "width": labels.video.width,
        "segmentations": masks,
        "bboxes": boxes,
        "areas": areas,
    }


def _segmentation(mask: Rle) -> dict[str, Any]:
    return {"size": [mask.height, mask.width], "counts": mask.text.decode("ascii")}


def write_keypoints(path: str | Path, labels: VideoTracks) -> None:
    """Write points as COCO key points: an image a frame, an annotation an object and frame.

    A point that is not to be seen has visibility 1, a point that is missing 0.

    Raises:
        UserError: there are no points, or the file cannot be written.
    """
    names: dict[str, tuple[str, ...]] = {}
    for track in labels.tracks:  # a category has the points of all tracks of its name
        given = (point.name for shape in track.shapes for point in shape.points)
        names[track.name] = tuple(dict.fromkeys((*names.get(track.name, ()), *given)))
    if not any(names.values()):
        raise UserError(f"{path}: COCO key points", expected="points", got="masks or boxes")
    categories = _categories(labels)
    content = {
        "images": [_image(labels.video, frame) for frame in range(labels.length)],
        "categories": [
            {"id": key, "name": name, "keypoints": names[name], "skeleton": []}
            for name, key in categories.items()
        ],
        "annotations": [*_pose_rows(labels, names, categories)],
    }
    _save(path, content)


def _image(video: Video, frame: int) -> dict[str, Any]:
    return {
        "id": frame + 1,
        "file_name": f"{video.frame_name(frame)}.jpg",
        "height": video.height,
        "width": video.width,
        "frame_index": frame,
    }


def _pose_rows(
    labels: VideoTracks, names: Mapping[str, Sequence[str]], categories: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    count = 0
    for track in labels.tracks:
        for shape in track.shapes:
            if not shape.points:
                continue
            count += 1
            known = {point.name: point for point in shape.points}
            values: list[float] = []
            for name in names[track.name]:
                point = known.get(name)
                if point is None:
                    values += [0, 0, 0]
                else:
                    values += [point.x, point.y, 1 + int(point.confidence > 0)]
            x0, y0, x1, y1 = tracks.box_of(shape) or (0.0, 0.0, 0.0, 0.0)
            yield {
                "id": count,
                "image_id": shape.frame + 1,
                "category_id": categories[track.name],
                "track_id": track.id,
                "iscrowd": 0,
                "num_keypoints": len(known),
                "keypoints": values,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
            }


def _save(path: str | Path, content: Mapping[str, Any]) -> None:
    with atomic.replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")

"""YouTube-VOS layout: ``meta.json``, and masks ``Annotations/VIDEO/FRAME.png`` of some frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import torch

from scalable_binding import atomic
from scalable_binding.data.labels import mask_folders, masks, rle, tracks
from scalable_binding.data.labels.documents import entry, load_json
from scalable_binding.data.labels.tracks import Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError

META = "meta.json"
_MASKS = "Annotations"


def matches(content: Any) -> bool:
    """Whether JSON is the ``meta.json`` of YouTube-VOS."""
    return isinstance(content, Mapping) and isinstance(content.get("videos"), Mapping)


def read(path: str | Path, video: Video) -> VideoTracks:
    """The tracks of a video: of its folder ``Annotations/VIDEO``, with names of ``meta.json``.

    A mask says nothing of objects that it lacks (those that come late have masks of their own),
    unless ``meta.json`` lists the frame for the object: then it is not to be seen there.

    Args:
        path: the folder with ``meta.json``, or this file.
        video: taken by its name, unless there is only one.

    Raises:
        UserError: a file is missing, damaged or malformed, or the video is not among them.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    meta = entry(str(root / META), load_json(root / META), "videos", dict)
    name = next(iter(meta)) if len(meta) == 1 else video.name
    if name not in meta or PurePath(name).name != name:
        raise UserError(f"{root / META}: videos", expected=f"one with the name {video.name}")
    listed, names = _objects(f"{root / META}, {name}", meta[name])
    shapes: dict[int, list[Shape]] = {}
    for frame, ids in mask_folders.stream(root / _MASKS / name, video):
        present = set(torch.unique(ids).tolist()) - {0}
        stem = video.frame_name(frame)
        for number in sorted(present | {key for key, frames in listed.items() if stem in frames}):
            mask = rle.encode((ids == number).numpy()) if number in present else None
            shapes.setdefault(number, []).append(Shape(frame=frame, mask=mask))
    found = ((number, names.get(number, str(number)), each) for number, each in shapes.items())
    return tracks.build(str(path), video, found)


def _objects(place: str, row: Any) -> tuple[dict[int, frozenset[str]], dict[int, str]]:
    """Frames and names of the objects of a video."""
    listed: dict[int, frozenset[str]] = {}
    names: dict[int, str] = {}
    for key, each in entry(place, row, "objects", dict, {}).items():
        if not (isinstance(key, str) and key.isdecimal() and 1 <= int(key[:9]) <= tracks.MAX_ID):
            raise UserError(f"{place}: objects", expected="ids 1 to 255", got=repr(key)[:40])
        frames = entry(f"{place}, object {key}", each, "frames", list, [])
        listed[int(key)] = frozenset(map(str, frames))
        names[int(key)] = entry(f"{place}, object {key}", each, "category", str, key)
    return listed, names


def write(path: str | Path, labels: VideoTracks) -> None:
    """Write masks and boxes (filled) as a folder in YouTube-VOS' layout, a mask for every frame.

    Raises:
        UserError: there are no masks or boxes, the folder exists and is not empty, or it cannot be
            written.
    """
    path, video = Path(path), labels.video
    mask_folders.check_writable(path, labels)
    objects = {
        str(track.id): {"category": track.name, "frames": _seen(track, video)}
        for track in labels.tracks
    }
    with atomic.replacing(path) as temporary:
        folder = temporary / _MASKS / video.name
        folder.mkdir(parents=True)
        for frame, ids in mask_folders.render(labels):
            masks.write(folder / f"{video.frame_name(frame)}.png", ids)
        content = {"videos": {video.name: {"objects": objects}}}
        (temporary / META).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if path.is_dir():
            path.rmdir()


def _seen(track: Track, video: Video) -> list[str]:
    return [video.frame_name(shape.frame) for shape in track.shapes if not shape.is_absent]

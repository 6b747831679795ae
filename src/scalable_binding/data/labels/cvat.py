"""CVAT for video 1.1 (XML): tracks of masks, boxes, polygons, points and skeletons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import saxutils

import numpy as np

from scalable_binding import atomic
from scalable_binding.data.labels import polygons, rle, tracks
from scalable_binding.data.labels.documents import number, parse_xml, whole
from scalable_binding.data.labels.tracks import Point, Shape, Track, Video, VideoTracks
from scalable_binding.errors import UserError

_SHAPES = ("box", "polygon", "mask", "points", "skeleton")
_NOT_READ = ("polyline", "ellipse", "cuboid")


def read(path: str | Path, video: Video) -> VideoTracks:
    """The tracks of a file of CVAT for video: what was drawn, not what CVAT put in between.

    Shapes with ``keyframe="0"`` are CVAT's own interpolation and are left out. Polygons become
    masks; ``outside`` says that an object is not to be seen.

    Raises:
        UserError: the file cannot be read, is malformed or of another kind or video, or has shapes
            that are not read (lines, ellipses, cuboids).
    """
    reader = _Reader(str(path), video)
    parse_xml(Path(path), reader.start, reader.end)
    if not reader.is_cvat:
        raise UserError(f"{path}", expected="XML of CVAT for video: <annotations>")
    if reader.has_images:
        raise UserError(f"{path}", expected="CVAT for video 1.1", got="CVAT for images 1.1")
    return tracks.build(str(path), video, reader.found)


@dataclass
class _Reader:
    """Collects shapes while the file is walked through."""

    what: str
    video: Video
    is_cvat: bool = False
    has_images: bool = False
    found: list[tuple[int, str, list[Shape]]] = field(default_factory=list)
    _depth: int = 0
    _size: dict[str, int] = field(default_factory=dict)
    _skeleton: list[Point] | None = None
    _is_skipped: bool = False
    _count: int = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            self.is_cvat = name == "annotations"
        self.has_images |= name == "image"
        if name == "track":
            key = whole(f"{self.what}: id of a track", attributes.get("id", len(self.found)))
            self.found.append((key + 1, attributes.get("label", "object")[:200], []))
        elif self.found and name in _NOT_READ:
            raise UserError(f"{self.what}: <{name}>", expected=" or ".join(_SHAPES))
        elif self.found and name in _SHAPES:
            self._shape(name, attributes)

    def end(self, name: str, text: str) -> None:
        self._depth -= 1
        if name == "skeleton" and self._skeleton is not None:
            shapes = self.found[-1][2]
            if self._skeleton and not self._is_skipped:
                shapes[-1] = Shape(frame=shapes[-1].frame, points=tuple(self._skeleton))
            self._skeleton, self._is_skipped = None, False
        elif name in ("width", "height") and text.strip().isdecimal():
            self._size[name] = int(text[:9])
            if len(self._size) == 2:
                size = self._size["height"], self._size["width"]
                tracks.check_size(f"{self.what}: labels", self.video, *size)

    def _shape(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > tracks.MAX_SHAPES:
            raise UserError(f"{self.what}", expected=f"at most {tracks.MAX_SHAPES} shapes")
        if self._skeleton is not None and name == "points":
            self._joint(attributes)
            return
        if name == "skeleton":
            self._skeleton = []
            is_made = attributes.get("keyframe") == "0"
            self._is_skipped = is_made or attributes.get("outside") == "1"
        if attributes.get("keyframe") == "0":
            return
        frame = whole(f"{self.what}: frame", attributes.get("frame"))
        place = f"{self.what}, frame {frame}"
        shape = Shape(frame=frame)
        if attributes.get("outside") == "1":
            pass
        elif name == "box":
            corners = (attributes.get(key) for key in ("xtl", "ytl", "xbr", "ybr"))
            x0, y0, x1, y1 = (number(f"{place}: box", corner) for corner in corners)
            shape = Shape(frame=frame, box=(x0, y0, x1, y1))
        elif name == "points":
            shape = Shape(frame=frame, points=_points(place, attributes))
        elif name == "polygon":
            ring = _pairs(place, attributes)
            mask = polygons.fill([ring], self.video.height, self.video.width)
            shape = Shape(frame=frame, mask=rle.encode(mask))
        elif name == "mask":
            shape = Shape(frame=frame, mask=_mask(place, attributes, self.video))
        self.found[-1][2].append(shape)

    def _joint(self, attributes: dict[str, str]) -> None:
        assert self._skeleton is not None
        if attributes.get("outside") == "1":
            return
        for x, y in _pairs(self.what, attributes)[:1]:
            seen = float(attributes.get("occluded") != "1")
            name = attributes.get("label", str(len(self._skeleton) + 1))[:200]
            self._skeleton.append(Point(name, float(x) - 0.5, float(y) - 0.5, seen))


def _pairs(place: str, attributes: dict[str, str]) -> np.ndarray:
    """The places of a shape, (x, y) from the top left corner of the frame."""
    pairs = [pair.split(",") for pair in attributes.get("points", "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise UserError(f"{place}: points", expected="x,y;x,y;...")
    return np.array([[number(f"{place}: points", value) for value in pair] for pair in pairs])


def _points(place: str, attributes: dict[str, str]) -> tuple[Point, ...]:
    seen = float(attributes.get("occluded") != "1")
    pairs = _pairs(place, attributes)
    return tuple(
        Point(str(index), float(x) - 0.5, float(y) - 0.5, seen)
        for index, (x, y) in enumerate(pairs, 1)
    )


def _mask(place: str, attributes: dict[str, str], video: Video) -> rle.Rle:
    """A mask: run lengths, row by row, of a part of the frame."""
    names = ("left", "top", "width", "height")
    left, top, width, height = (whole(f"{place}: {key}", attributes.get(key)) for key in names)
    fits = left >= 0 and top >= 0 and left + width <= video.width and top + height <= video.height
    if not fits or width < 1 or height < 1:
        expected = f"a mask inside {video.height} x {video.width} pixels"
        raise UserError(place, expected=expected, got=f"{left}, {top}, {width} x {height}")
    runs = np.array([whole(f"{place}: rle", v) for v in attributes.get("rle", "").split(",")])
    if runs.min() < 0 or runs.max() > width * height or runs.sum() != width * height:
        raise UserError(f"{place}: rle", expected=f"runs that add up to {width} x {height}")
    mask = np.zeros((video.height, video.width), dtype=bool)
    mask[top : top + height, left : left + width] = rle.fill(runs, height, width)
    return rle.encode(mask)


def write(path: str | Path, labels: VideoTracks) -> None:
    """Write tracks as CVAT for video 1.1, each shape a key frame.

    Raises:
        UserError: the file cannot be written.
    """
    video = labels.video
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>", "  <version>1.1</version>"]
    lines += ["  <meta><task>", f"    <name>{_text(video.name)}</name>"]
    lines += [f"    <size>{labels.length}</size>", "    <mode>interpolation</mode>", "    <labels>"]
    for name in dict.fromkeys(track.name for track in labels.tracks):
        lines.append(f"      <label><name>{_text(name)}</name></label>")
    lines += ["    </labels>", "    <original_size>"]
    lines += [f"      <width>{video.width}</width>", f"      <height>{video.height}</height>"]
    lines += ["    </original_size>", "  </task></meta>"]
    with atomic.replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
        for track in labels.tracks:
            label = saxutils.quoteattr(_legal(track.name))
            file.write(f'  <track id="{track.id - 1}" label={label} source="semi-auto">\n')
            for line in _track_lines(track):
                file.write(f"    {line}\n")
            file.write("  </track>\n")
        file.write("</annotations>\n")


def _legal(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or " " <= c <= "\ud7ff" or c >= "\ue000")


def _text(text: str) -> str:
    return saxutils.escape(_legal(text))


def _track_lines(track: Track) -> Iterator[str]:
    """The shapes of a track; an absent one repeats the one before as outside."""
    before: Shape | None = None
    for shape in track.shapes:
        if not shape.is_absent:
            yield from _shape_lines(shape, shape.frame, outside=False)
            before = shape
        elif before is not None:
            yield from _shape_lines(before, shape.frame, outside=True)


def _shape_lines(shape: Shape, frame: int, *, outside: bool) -> Iterator[str]:
    state = f'frame="{frame}" outside="{int(outside)}" keyframe="1"'
    if shape.mask is not None:
        yield f'<mask {state} occluded="0" {_mask_attributes(shape.mask)} z_order="0"></mask>'
    elif shape.box is not None:
        names = ("xtl", "ytl", "xbr", "ybr")
        corners = " ".join(f'{k}="{v!r}"' for k, v in zip(names, shape.box, strict=True))
        yield f'<box {state} occluded="0" {corners} z_order="0"></box>'
    elif len(shape.points) == 1:
        (point,) = shape.points
        yield f"<points {state} {_point_attributes(point)}></points>"
    else:
        yield f'<skeleton {state} z_order="0">'
        for point in shape.points:
            name = saxutils.quoteattr(_legal(point.name))
            yield f"  <points label={name} {state} {_point_attributes(point)}></points>"
        yield "</skeleton>"


def _point_attributes(point: Point) -> str:
    hidden = int(point.confidence == 0)
    return f'occluded="{hidden}" points="{point.x + 0.5!r},{point.y + 0.5!r}" z_order="0"'


def _mask_attributes(mask: rle.Rle) -> str:
    pixels = rle.decode(mask)
    x0, y0, x1, y1 = map(int, tracks.box_of(Shape(frame=0, mask=mask)) or (0, 0, 1, 1))
    runs = rle.runs(pixels[y0:y1, x0:x1].ravel())
    return (
        f'rle="{", ".join(map(str, runs))}" left="{x0}" top="{y0}" '
        f'width="{x1 - x0}" height="{y1 - y0}"'
    )

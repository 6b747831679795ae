"""Tracks: what label files of other tools hold, in one structure that all of them are read into.

A video has tracks (objects with a name); a track has at most one shape a frame: a mask, a box or
points. Boxes and polygons are in pixels from the top left corner of the frame; points, as in
``labels.keypoints``, from the center of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from scalable_binding.data.labels import rle
from scalable_binding.data.labels.rle import Rle
from scalable_binding.errors import UserError

MAX_ID = 255
"""The largest id that a map of uint8 holds."""

MAX_SHAPES = 2_000_000
"""Shapes of a label file, at most."""

MAX_FRAME = 10_000_000
"""The largest number of a frame in a label file."""


@dataclass(frozen=True)
class Point:
    """A place in pixels, (0, 0) the center of the top left pixel; confidence 0 says: not seen."""

    name: str
    x: float
    y: float
    confidence: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Where an object is in a frame: one of ``mask``, ``box`` (x0, y0, x1, y1) and ``points``.

    A shape with none of them says that the object is not to be seen from this frame on.
    """

    frame: int
    mask: Rle | None = None
    box: tuple[float, float, float, float] | None = None
    points: tuple[Point, ...] = ()

    @property
    def is_absent(self) -> bool:
        """Whether the object is not to be seen."""
        return self.mask is None and self.box is None and not self.points


@dataclass(frozen=True, kw_only=True)
class Track:
    """An object: its id (from 1), its name or class, and its shapes by frame."""

    id: int
    name: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, kw_only=True)
class Video:
    """The video that labels are of: what their files leave out, or have to agree with.

    ``frames`` are the names (stems) of frame files; empty for a video file, whose frames are
    numbered.
    """

    name: str
    height: int
    width: int
    num_frames: int | None = None
    fps: float = 24.0
    frames: tuple[str, ...] = ()

    def frame_name(self, number: int) -> str:
        """The stem of a frame's file."""
        return self.frames[number] if number < len(self.frames) else f"{number:05}"

    def frame_number(self, name: str, what: str) -> int:
        """The number of the frame of which ``name`` is the stem.

        Names of a video file's frames end in their numbers, from 0.

        Raises:
            UserError: there is no such frame.
        """
        if self.frames:
            known = {frame: number for number, frame in enumerate(self.frames)}
            if name in known:
                return known[name]
            raise UserError(f"{what}: frame {name}", expected="a frame of the video")
        digits = name[len(name.rstrip("0123456789")) :]
        if not digits or len(digits) > 9:
            got = repr(name)[:60]
            raise UserError(f"{what}", expected="names that end in the frame's number", got=got)
        return int(digits)


@dataclass(frozen=True, kw_only=True)
class VideoTracks:
    """The tracks of a video."""

    video: Video
    tracks: tuple[Track, ...]

    @property
    def frames(self) -> list[int]:
        """The frames with a shape, in order."""
        return sorted({shape.frame for track in self.tracks for shape in track.shapes})

    @property
    def length(self) -> int:
        """Frames of the video, or up to the last shape where it does not tell."""
        last = max((frame for frame in self.frames), default=-1) + 1
        return max(last, self.video.num_frames or 0)

    def at(self, frame: int) -> Iterator[tuple[Track, Shape]]:
        """The shapes in a frame with their tracks."""
        for track in self.tracks:
            for shape in track.shapes:
                if shape.frame == frame:
                    yield track, shape


def build(
    what: str,
    video: Video,
    found: Iterable[tuple[int, str, Iterable[Shape]]],
    *,
    any_ids: bool = False,
) -> VideoTracks:
    """Tracks of (id, name, shapes), checked, in the order of ids.

    Ids outside 1 to 255 make all tracks numbered 1, 2, ... in the order given, unless they may be
    ``any_ids``.

    Raises:
        UserError: no shape at all, too many, an id or an object's frame twice, or a frame that the
            video does not have.
    """
    tracks = [
        Track(id=number, name=name, shapes=tuple(sorted(shapes, key=lambda shape: shape.frame)))
        for number, name, shapes in found
    ]
    tracks = [track for track in tracks if track.shapes]
    if not any(not shape.is_absent for track in tracks for shape in track.shapes):
        raise UserError(f"{what}: no labels in this file")
    ids = [track.id for track in tracks]
    if len(set(ids)) < len(ids):
        raise UserError(f"{what}: object {max(ids, key=ids.count)} occurs twice")
    if not any_ids and (min(ids) < 1 or max(ids) > MAX_ID):
        tracks = [replace(track, id=number) for number, track in enumerate(tracks, 1)]
    for track in tracks:
        _check_frames(what, video, track)
    return VideoTracks(video=video, tracks=tuple(sorted(tracks, key=lambda track: track.id)))


def _check_frames(what: str, video: Video, track: Track) -> None:
    last = MAX_FRAME if video.num_frames is None else video.num_frames - 1
    frames = [shape.frame for shape in track.shapes]
    for before, frame in zip([-1, *frames], frames, strict=False):
        if frame == before:
            raise UserError(f"{what}: object {track.id} occurs twice in frame {frame}")
        if not 0 <= frame <= last:
            expected = f"a frame from 0 to {last}"
            raise UserError(f"{what}: object {track.id}", expected=expected, got=str(frame))


def check_size(what: str, video: Video, height: int, width: int) -> None:
    """Nothing, when labels are of the size of the video.

    Raises:
        UserError: they are of another size.
    """
    if (height, width) != (video.height, video.width):
        expected = f"the video's size, {video.height} x {video.width}"
        raise UserError(f"{what}", expected=expected, got=f"{height} x {width}")


def render(
    shapes: Sequence[tuple[int, Shape]], height: int, width: int
) -> UInt8[np.ndarray, "h w"]:
    """The id of every pixel of a frame, of masks and filled boxes; later ones lie on top."""
    ids = np.zeros((height, width), dtype=np.uint8)
    for number, shape in shapes:
        mask = mask_of(shape, height, width)
        if mask is not None:
            ids[mask] = number
    return ids


def mask_of(shape: Shape, height: int, width: int) -> np.ndarray | None:
    """The pixels of a mask or of a filled box; None where there is neither."""
    if shape.mask is not None:
        return rle.decode(shape.mask)
    if shape.box is None:
        return None
    mask = np.zeros((height, width), dtype=bool)
    x0, y0, x1, y1 = (round(place) for place in shape.box)
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = True
    return mask


def box_of(shape: Shape) -> tuple[float, float, float, float] | None:
    """The box of a shape, or the smallest around its mask or the pixels of its points seen."""
    if shape.mask is not None:
        mask = rle.decode(shape.mask)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    seen = [point for point in shape.points if point.confidence > 0]
    if seen:
        x, y = [point.x for point in seen], [point.y for point in seen]
        return min(x), min(y), max(x) + 1, max(y) + 1
    return shape.box


def of_masks(
    video: Video, masks: Iterable[tuple[int, UInt8[np.ndarray, "_ _"]]], names: dict[int, str]
) -> VideoTracks:
    """Tracks of (frame, ids of every pixel): an object that was there and is missing is absent."""
    shapes: dict[int, list[Shape]] = {}
    for frame, ids in masks:
        present = {int(number) for number in np.unique(ids)} - {0}
        for number in present | shapes.keys():
            before = shapes.setdefault(number, [])
            if number in present:
                before.append(Shape(frame=frame, mask=rle.encode(ids == number)))
            elif before and not before[-1].is_absent:
                before.append(Shape(frame=frame))
    tracks = (
        Track(id=number, name=names.get(number, str(number)), shapes=tuple(shapes[number]))
        for number in sorted(shapes)
    )
    return VideoTracks(video=video, tracks=tuple(tracks))

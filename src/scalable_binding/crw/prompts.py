"""Label files of a video as references for propagation: whichever format, whichever frames."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scalable_binding.crw.bidirectional import Reference
from scalable_binding.crw.labels import space_of
from scalable_binding.data.frames import images
from scalable_binding.data.labels import formats, keypoints, masks, tracks
from scalable_binding.data.labels.resizing import Prompt, Scale
from scalable_binding.data.labels.tracks import Video, VideoTracks
from scalable_binding.errors import UserError

_POINTS = ("table", "keypoints-json")

_VOID = 255
"""What some data sets write where nobody could say what is there."""

_MANY = 40
"""Objects in a mask above which they are likely to be the shades of a soft brush."""


@dataclass(frozen=True)
class Given:
    """Labels of a frame at the video's own size, and the objects that a mask tells of (all)."""

    prompt: Prompt
    objects: tuple[int, ...] | None = None

    def reference(self, scale: Scale, what: str) -> Reference:
        """The labels at the size at which they are carried.

        Raises:
            UserError: they do not fit the video.
        """
        return Reference(scale.shrink(self.prompt, what), self.objects)

    def put_on(self, found: Prompt) -> Prompt:
        """The labels found in the frame, with those given in place of what was made of them."""
        if isinstance(found, list) and isinstance(self.prompt, list):
            known = {point.id: point for point in self.prompt}
            return [known.get(point.id, point) for point in found]
        if self.objects is None or isinstance(found, list) or isinstance(self.prompt, list):
            return self.prompt
        told = torch.tensor(self.objects, dtype=torch.uint8)
        rest = torch.where(torch.isin(found, told), 0, found)
        return torch.where(self.prompt > 0, self.prompt, rest)


@dataclass(frozen=True)
class Prompts:
    """Labels by frame, and the tracks that name their objects."""

    by_frame: dict[int, Given]
    tracks: VideoTracks

    @property
    def are_points(self) -> bool:
        """Whether the labels are key points."""
        return any(isinstance(given.prompt, list) for given in self.by_frame.values())


def read(
    labels: Path, frame: int, corrections: Mapping[int, Path], video: Video, within: range | None
) -> Prompts:
    """The labels of a file of any format, and of further files of single frames.

    Args:
        labels: the file or folder.
        frame: that a single mask is of.
        corrections: files of other frames, by number.
        video: what the labels are of.
        within: frames to label; labels of others are left out with a warning.

    Raises:
        UserError: a file cannot be read or holds no label, two are of one frame, labels are for a
            frame that the video does not have, or some are masks and some key points.
    """
    painted: dict[int, Path] = {}
    found = VideoTracks(video=video, tracks=())
    by_frame: dict[int, Given] = {}
    if formats.detect(labels) == "png":
        painted = _painted(labels, frame, video)
    else:
        found = formats.read(labels, video, frame)
        by_frame = of_tracks(found)
    for number, path in corrections.items():
        if number in painted or (number in by_frame and formats.detect(path) not in _POINTS):
            what = f"--correct {number}={path} is of the labeled frame"
            raise UserError(what, fix="leave one of them out")
        if formats.detect(path) == "png":
            painted[number] = path
        else:
            by_frame[number] = _of_one_frame(path, number, video, by_frame.get(number))
    read_masks = masks.read_many([*painted.values()])
    by_frame |= {number: Given(mask) for number, mask in zip(painted, read_masks, strict=True)}
    _check(by_frame, labels, video.num_frames)
    return Prompts(_within(by_frame, labels, within), found)


def _painted(labels: Path, frame: int, video: Video) -> dict[int, Path]:
    """The masks of a folder by their frames, or the one mask."""
    if not labels.is_dir():
        return {frame: labels}
    files = images.list_frames(labels)
    if not files:
        raise UserError(f"{labels}: no masks in this folder", expected="PNGs such as 00000.png")
    return dict(sorted((video.frame_number(file.stem, str(file)), file) for file in files))


def of_tracks(found: VideoTracks) -> dict[int, Given]:
    """The labels of each frame with a shape, as ids per pixel (boxes are filled) or as points.

    Raises:
        UserError: there are masks and points, or more than 255 objects.
    """
    points = formats.to_keypoints(found)
    has_area = any(shape.mask or shape.box for track in found.tracks for shape in track.shapes)
    if points and has_area:
        raise UserError("labels", expected="masks and boxes, or points", got="both")
    if points:
        grouped: dict[int, list[keypoints.Keypoint]] = {}
        for point in points:
            grouped.setdefault(point.frame, []).append(point)
        return {frame: Given(group) for frame, group in grouped.items()}
    if len(found.tracks) > tracks.MAX_ID:
        expected = f"at most {tracks.MAX_ID} objects"
        raise UserError("labels", expected=expected, got=str(len(found.tracks)))
    told: dict[int, list[tuple[int, tracks.Shape]]] = {}
    for track in found.tracks:
        for shape in track.shapes:
            told.setdefault(shape.frame, []).append((track.id, shape))
    size = found.video.height, found.video.width
    return {
        frame: Given(
            torch.from_numpy(tracks.render(shapes, *size)), tuple(sorted(key for key, _ in shapes))
        )
        for frame, shapes in sorted(told.items())
    }


def _of_one_frame(path: Path, number: int, video: Video, before: Given | None) -> Given:
    """What a file says of one frame; of points, whatever frame it says they are in."""
    if formats.detect(path) in _POINTS:
        points = [replace(point, frame=number) for point in keypoints.read(path)]
        ids = {point.id for point in points}
        if before is not None and isinstance(before.prompt, list):
            points += [point for point in before.prompt if point.id not in ids]
        return Given(points)
    found = of_tracks(formats.read(path, video, number))
    if number not in found:
        raise UserError(f"--correct {number}={path}", expected=f"labels of frame {number}")
    return found[number]


def _check(by_frame: Mapping[int, Given], labels: Path, num_frames: int | None) -> None:
    for frame, given in by_frame.items():
        if num_frames is not None and not 0 <= frame < num_frames:
            expected = f"a frame from 0 to {num_frames - 1} of the video"
            raise UserError(f"labels of frame {frame}", expected=expected)
        if not isinstance(given.prompt, list) and given.objects is None:
            _warn_of_ids(frame, space_of(given.prompt).ids)
    if not by_frame:
        raise UserError(f"labels {labels}", expected="labels of at least one frame", got="none")
    if len({isinstance(given.prompt, list) for given in by_frame.values()}) > 1:
        expected = "masks for all labeled frames, or key points for all"
        raise UserError("corrections", expected=expected, got="both")


def _within(by_frame: Mapping[int, Given], labels: Path, within: range | None) -> dict[int, Given]:
    if within is None:
        return dict(sorted(by_frame.items()))
    inside = {frame: given for frame, given in sorted(by_frame.items()) if frame in within}
    text = f"of frames {within.start} to {within.stop - 1}"
    if not inside:
        raise UserError(f"labels {labels}", expected=f"labels {text}", got="others only")
    if len(inside) < len(by_frame):
        warnings.warn(
            f"labels of {len(by_frame) - len(inside)} frames are not {text}", stacklevel=3
        )
    return inside


def _warn_of_ids(frame: int, ids: Sequence[int]) -> None:
    """Say so where a mask seems to mean something else than what it says."""
    text = f"the mask of frame {frame} has "
    if len(ids) > _MANY:
        text += f"{len(ids)} objects; if you painted fewer, paint them without smoothing"
        warnings.warn(text, stacklevel=4)
    elif len(ids) > 1 and _VOID in ids and max(set(ids) - {_VOID}) < _MANY:
        text += f"an object {_VOID} beside small numbers; if that means void, make it 0"
        warnings.warn(text, stacklevel=4)

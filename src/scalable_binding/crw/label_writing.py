"""Writing the labels of a video as they come: masks at once, all other formats at the end."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from scalable_binding.crw.prompts import Prompts
from scalable_binding.data.labels import formats, keypoints, masks, rle
from scalable_binding.data.labels.resizing import Prompt
from scalable_binding.data.labels.tracks import Shape, Track, Video, VideoTracks
from scalable_binding.data.results import NUMBER
from scalable_binding.errors import UserError, require_one_of

POINTS = "keypoints.csv"

FILES = {
    kind: POINTS if kind.startswith("csv") else f"{kind}{each.suffix}"
    for kind, each in formats.FORMATS.items()
}
"""The file or folder of each format; masks (png) lie beside it."""


def check_formats(kinds: Sequence[str], *, are_points: bool) -> tuple[str, ...]:
    """The formats to write: those given, or masks, or a table of points.

    Raises:
        UserError: there is no such format, or it does not hold labels of this kind.
    """
    for kind in kinds:
        require_one_of("--format", kind, formats.FORMATS)
        if ("points" if are_points else "masks") not in formats.FORMATS[kind].holds:
            expected, got = ("masks", "key points") if are_points else ("key points", "masks")
            raise UserError(f"--format {kind}", expected=expected, got=got)
    return tuple(dict.fromkeys(kinds)) or (("csv",) if are_points else ("png",))


def remove_stale(out: Path, kept: Collection[Path]) -> None:
    """Remove what an earlier call has left, but for labels that this one reads."""
    names = {name for kind, name in FILES.items() if kind != "png"}
    for stale in (*out.glob(f"{NUMBER}.png"), *(out / name for name in sorted(names))):
        place = stale.resolve()
        if any(place == path or place in path.parents for path in kept):
            continue
        if stale.is_dir() and not stale.is_symlink():
            shutil.rmtree(stale)
        else:
            stale.unlink(missing_ok=True)


class LabelWriter:
    """Writes the labels of frames to a folder."""

    def __init__(self, out: Path, kinds: Sequence[str], prompts: Prompts, video: Video) -> None:
        self._out, self._kinds, self._prompts, self._video = out, kinds, prompts, video
        self._points: list[keypoints.Keypoint] = []
        self._shapes: dict[int, dict[int, Shape]] = {}
        self._frames: list[int] = []

    def write(self, found: Iterable[tuple[int, Prompt]]) -> Iterator[Prompt]:
        """The labels of frames by number, each passed on once it is written or kept.

        Interrupted, it still writes what has come.
        """
        try:
            for frame, labels in found:
                if isinstance(labels, list):
                    self._points += [replace(point, frame=frame) for point in labels]
                else:
                    if "png" in self._kinds:
                        masks.write(self._out / f"{frame:05}.png", labels)
                    if self._kinds != ("png",):
                        self._keep(frame, labels)
                self._frames.append(frame)
                yield labels
        finally:
            if self._frames:
                self._finish()

    def _keep(self, frame: int, labels: torch.Tensor) -> None:
        for number in labels.unique().tolist():
            if number:
                mask = rle.encode((labels == number).numpy())
                self._shapes.setdefault(number, {})[frame] = Shape(frame=frame, mask=mask)

    def _finish(self) -> None:
        rest = [kind for kind in self._kinds if kind != "png"]
        if not rest:
            return
        found = self._tracks()
        for kind in rest:
            if kind.startswith("csv") and not self._points:
                continue
            formats.write(self._out / FILES[kind], found, kind)

    def _tracks(self) -> VideoTracks:
        """All that was found, with the names of the labels given."""
        video = replace(self._video, num_frames=max(*self._frames, 0, self._length() - 1) + 1)
        given = self._prompts.tracks
        if self._points:
            points = sorted(self._points, key=lambda point: (point.frame, point.id))
            if {p.id for p in formats.to_keypoints(given)} >= {p.id for p in points}:
                return replace(formats.with_keypoints(given, points), video=video)
            return formats.of_keypoints(video, points)
        names = {track.id: track.name for track in given.tracks}
        tracks = (
            Track(id=number, name=names.get(number, str(number)), shapes=self._shapes_of(number))
            for number in sorted(self._shapes)
        )
        return VideoTracks(video=video, tracks=tuple(tracks))

    def _length(self) -> int:
        return self._video.num_frames or 0

    def _shapes_of(self, number: int) -> tuple[Shape, ...]:
        """The masks of an object, and where it is not to be seen any more."""
        known, shapes = self._shapes[number], []
        for frame in sorted(self._frames):
            if frame in known:
                shapes.append(known[frame])
            elif shapes and not shapes[-1].is_absent:
                shapes.append(Shape(frame=frame))
        return tuple(shapes)

    def summary(self) -> str:
        """What was written, in words."""
        count, places = len(self._frames), [kind for kind in self._kinds if kind != "png"]
        said = []
        if self._points:
            said = [f"key points of {count} frames: {self._out / FILES[kind]}" for kind in places]
        else:
            if "png" in self._kinds:
                said.append(f"{'one mask' if count == 1 else f'{count} masks'}: {self._out}")
            said += [f"{kind}: {self._out / FILES[kind]}" for kind in places]
        return "\n".join(said)

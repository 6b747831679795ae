"""A labeling session: a video, its objects, their labels, and the verbs that change them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Bool, Float, UInt8

from scalable_binding.app import drawing, exports, label_files, propagation, proposals
from scalable_binding.app.features import DISK_BYTES
from scalable_binding.app.frames import VideoFrames
from scalable_binding.app.objects import checked_color, free_name, new_object
from scalable_binding.app.project import (
    Kind,
    Label,
    Object,
    Status,
    pack_mask,
)
from scalable_binding.app.propagation import Direction, Step
from scalable_binding.app.video_labels import VideoLabels, resize_mask
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.errors import UserError

Mask = Bool[np.ndarray, "h w"]


class Session:
    """Label objects in a video: mark them in any frame, propagate, correct, export.

    Every change is on the disk, in the folder ``project``, before its call returns; a session
    opened again on the folder goes on where it was. Methods may be called from several threads.

    >>> session = Session("walk.mp4", "walk-labels")                    # doctest: +SKIP
    >>> dog = session.add_object("dog")                                 # doctest: +SKIP
    >>> session.click(0, dog.id, x=410, y=220)                          # doctest: +SKIP
    >>> for step in session.propagate(): print(step.frame)              # doctest: +SKIP
    >>> for step in session.correct(40, dog.id, mask): print(step)      # doctest: +SKIP

    Args:
        video: a video file or a folder of frames; None takes the project's own.
        project: a folder; made if it is missing.
        model: gives the features of frames, or its name, as ``crw.model.load`` takes it. Loaded
            when it is first needed.
        config: how labels are propagated.
        cache_bytes: of features kept on the disk, at most.

    Raises:
        UserError: the video cannot be read, the project cannot be written, or it is of another
            video.
    """

    def __init__(
        self,
        video: str | Path | None,
        project: str | Path,
        *,
        model: str | FeatureModel = "shipped",
        config: PropagationConfig | None = None,
        cache_bytes: int = DISK_BYTES,
    ) -> None:
        self.labels = VideoLabels(
            video, Path(project), model=model, config=config, cache_bytes=cache_bytes
        )
        self._project = self.labels.project

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the project; nothing has to be saved."""
        self._project.close()

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self._project.folder

    @property
    def frames(self) -> VideoFrames:
        """The frames of the video."""
        return self.labels.frames

    # Objects

    @property
    def objects(self) -> list[Object]:
        """The objects, by their ids."""
        return self._project.objects()

    def add_object(
        self, name: str | None = None, color: str | None = None, kind: Kind = "mask"
    ) -> Object:
        """A new object: a region ("mask") or a "point".

        Raises:
            UserError: a name that is taken, a bad color, or more than 255 objects.
        """
        with self._project.lock:
            added = new_object(self._project, name, color, kind)
            with self._project.action(f"add {added.name}"):
                self._project.change_object(added)
        return added

    def change_object(
        self, object_id: int, *, name: str | None = None, color: str | None = None
    ) -> Object:
        """Rename or recolor an object.

        Raises:
            UserError: no such object, a name that is taken, or a bad color.
        """
        with self._project.lock:
            known = self.object(object_id)
            changed = replace(
                known,
                name=known.name if name is None else free_name(self._project, name, but=object_id),
                color=known.color if color is None else checked_color(color),
            )
            with self._project.action(f"change {known.name}"):
                self._project.change_object(changed)
        return changed

    def remove_object(self, object_id: int) -> None:
        """Remove an object from all frames; :meth:`undo` brings it back.

        Raises:
            UserError: no such object.
        """
        with self._project.lock:
            known = self.object(object_id)
            with self._project.action(f"remove {known.name}"):
                self._project.change_object(replace(known, removed=True))

    def object(self, object_id: int) -> Object:
        """The object of an id.

        Raises:
            UserError: there is none.
        """
        return self.labels.object(object_id)

    # Labels of a frame

    def set_mask(self, frame: int, object_id: int, mask: np.ndarray, name: str = "mask") -> None:
        """Say which pixels of a frame are an object's; an empty mask says that it is not there.

        Args:
            mask: ``(h w)``, true or above 0 inside, at the size shown or the video's own.

        Raises:
            UserError: a mask of another size, a locked frame, or no such frame or object.
        """
        size = self.labels.size
        mask = np.asarray(mask) > 0
        if mask.shape == self.frames.own != size:
            mask = resize_mask(mask, size)
        if mask.shape != size:
            expected, got = (" x ".join(map(str, shape)) for shape in (size, mask.shape))
            raise UserError("mask", expected=f"{expected} pixels", got=got)
        label = Label(frame=frame, object=object_id, given=True, mask=pack_mask(mask))
        self._give(label, f"{name} in frame {frame}", kind="mask")

    def paint(
        self,
        frame: int,
        object_id: int,
        points: Sequence[drawing.Point],
        radius: drawing.Number,
        *,
        erase: bool = False,
    ) -> None:
        """Paint or erase with a round brush along ``points`` (x, y), in pixels of the size shown.

        Raises:
            UserError: no points, a bad radius, a locked frame, or no such frame or object.
        """
        area = drawing.stroke(self.frames.height, self.frames.width, points, radius)
        self._combine(frame, object_id, area, erase=erase, name="erase" if erase else "paint")

    def fill_polygon(
        self, frame: int, object_id: int, points: Sequence[drawing.Point], *, erase: bool = False
    ) -> None:
        """Add the inside of a polygon to an object, or take it away."""
        area = drawing.polygon(self.frames.height, self.frames.width, points)
        self._combine(frame, object_id, area, erase=erase, name="polygon")

    def fill_box(
        self,
        frame: int,
        object_id: int,
        corner: drawing.Point,
        opposite: drawing.Point,
        *,
        erase: bool = False,
    ) -> None:
        """Add a box to an object, or take it away."""
        area = drawing.box(self.frames.height, self.frames.width, corner, opposite)
        self._combine(frame, object_id, area, erase=erase, name="box")

    def set_point(self, frame: int, object_id: int, x: drawing.Number, y: drawing.Number) -> None:
        """Say where a point is in a frame, in pixels of the size shown.

        Raises:
            UserError: a place outside the frame, a locked frame, or no such frame or point.
        """
        self._check_place(x, y)
        label = Label(frame=frame, object=object_id, given=True, x=float(x), y=float(y))
        self._give(label, f"point in frame {frame}", kind="point")

    def clear(self, frame: int, object_id: int) -> None:
        """Forget what is known of an object in a frame."""
        with self._project.lock:
            self._check_open(frame)
            known = self.object(object_id)
            with self._project.action(f"clear {known.name} in frame {frame}"):
                self._project.change_label(frame, object_id, None)

    def click(
        self,
        frame: int,
        object_id: int,
        x: drawing.Number,
        y: drawing.Number,
        *,
        positive: bool = True,
    ) -> Mask:
        """Say that the pixel (x, y) is the object's, or is not; the mask that follows from it.

        The mask is grown from all clicks on the object in this frame, over features and colors.
        Where there is a mask already, a positive click only adds to it, a negative one only takes
        away from it. Other objects keep their pixels, but for the one that was clicked on.

        Raises:
            UserError: a place outside the frame, a locked frame, or no such frame or object.
        """
        self._check_place(x, y)
        with self._project.lock:
            self._check_kind(object_id, "mask")
            self._check_open(frame)
            before = self._project.label(frame, object_id)
            clicks = [] if before is None else json.loads(before.clicks)
            ids = self.ids(frame)
            base = ids == object_id if (ids == object_id).any() else None
        clicks.append([float(x), float(y), bool(positive)])
        clicked = ids[round(y), round(x)]
        others = (ids > 0) & (ids != object_id) & (ids != clicked)
        mask = self.propose(frame, clicks, base) & ~others
        label = Label(
            frame=frame,
            object=object_id,
            given=True,
            mask=pack_mask(mask),
            clicks=json.dumps(clicks),
        )
        self._give(label, f"click in frame {frame}", kind="mask")
        return mask

    def propose(
        self, frame: int, clicks: Sequence[proposals.Click], base: Mask | None = None
    ) -> Mask:
        """The mask that clicks (x, y, whether on the object) suggest, without keeping it.

        The last click corrects the mask ``base``, if one is given.
        """
        carried = self.frames.read_carried(frame)
        features = self.labels.features.features(carried)
        picture = self.frames.frame(frame).permute(1, 2, 0).numpy()
        return proposals.propose(picture, features, clicks, base)

    def _combine(self, frame: int, object_id: int, area: Mask, *, erase: bool, name: str) -> None:
        with self._project.lock:
            self._check_kind(object_id, "mask")
            before = self.mask(frame, object_id)
            self.set_mask(frame, object_id, before & ~area if erase else before | area, name)

    def _give(self, label: Label, name: str, kind: Kind) -> None:
        self._check_kind(label.object, kind)
        with self._project.lock:
            self._check_open(label.frame)
            with self._project.action(name):
                self._project.change_label(label.frame, label.object, label)

    def _check_kind(self, object_id: int, kind: Kind) -> None:
        known = self.object(object_id)
        if known.kind != kind:
            raise UserError(f"{known.name} is a {known.kind}", expected=f"a {kind}")

    def _check_open(self, frame: int) -> None:
        self.frames.check(frame)
        if frame in self._project.locks():
            raise UserError(f"frame {frame} is locked", fix="unlock it to change its labels")

    def _check_place(self, x: drawing.Number, y: drawing.Number) -> None:
        height, width = self.frames.height, self.frames.width
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            expected = f"inside the frame of {height} x {width} pixels"
            raise UserError("place", expected=expected, got=f"x {x:g}, y {y:g}")

    def lock(self, frame: int, locked: bool = True) -> None:
        """Lock a frame whose labels are right: nothing changes them, and others start from them."""
        self.frames.check(frame)
        with self._project.lock, self._project.action("lock" if locked else "unlock"):
            self._project.change_lock(frame, locked)

    @property
    def locked(self) -> set[int]:
        """The locked frames."""
        return self._project.locks()

    def undo(self) -> str | None:
        """Take the latest edit back; its name, or None when there is none."""
        return self._project.undo()

    def redo(self) -> str | None:
        """Make the edit again that was taken back last; its name, or None when there is none."""
        return self._project.redo()

    # What is known

    def ids(self, frame: int) -> UInt8[np.ndarray, "h w"]:
        """The object id of every pixel of a frame, 0 for background, at the size shown."""
        return self.labels.ids(frame)

    def mask(self, frame: int, object_id: int) -> Mask:
        """The pixels of an object in a frame."""
        return self.labels.mask(frame, object_id)

    def points(self, frame: int) -> dict[int, tuple[float, float, float]]:
        """The points of a frame by object id: x, y in pixels of the size shown, and confidence."""
        return self.labels.points(frame)

    def statuses(self) -> list[Status]:
        """Of which objects something is known in which frames, how, and how confidently."""
        return self._project.statuses()

    def confidence(self) -> Float[np.ndarray, " t"]:
        """The lowest confidence of an object in each frame; not a number where nothing is known."""
        return self.labels.confidence()

    def history(self) -> tuple[str | None, str | None]:
        """The names of the edits that :meth:`undo` and :meth:`redo` would act on."""
        return self._project.history()

    # Propagation

    def propagate(
        self,
        direction: Direction | str = "forward",
        *,
        objects: Sequence[int] | None = None,
        frames: range | None = None,
    ) -> Iterator[Step]:
        """Propagate labels from the frames where they were given or locked, one frame at a time.

        Frames that are done and depend on nothing that changed are passed over, so a propagation
        that was stopped goes on where it was. Each step is kept before it is given out. Between two
        labeled frames both are looked at; with "both" the nearer one leads.

        Args:
            direction: "forward", "backward" or "both".
            objects: ids of those to propagate; None for all.
            frames: those to label, if not all.

        Raises:
            UserError: nothing is labeled, or a frame cannot be decoded.
        """
        return propagation.propagate(self.labels, direction, objects, frames)

    def correct(self, frame: int, object_id: int, mask: np.ndarray) -> Iterator[Step]:
        """Replace an object's mask in a frame and make again what depends on it, and only that.

        The mask is set at once, also if the steps are never asked for.

        Raises:
            UserError: as :meth:`set_mask`.
        """
        self.set_mask(frame, object_id, mask)
        return self.refresh()

    def refresh(self, objects: Sequence[int] | None = None) -> Iterator[Step]:
        """Make again the labels whose origin has changed."""
        return propagation.propagate(self.labels, "stale", objects, None)

    # Label files

    def export(self, kind: str, path: str | Path) -> None:
        """Write the labels of all frames, as one of ``exports.FORMATS``: "png", "coco", ...

        Raises:
            UserError: no such format, nothing is labeled, labels that the format cannot hold, or a
                path that cannot be written.
        """
        for _ in exports.export(self.labels, kind, Path(path)):
            pass

    def import_labels(
        self, path: str | Path, *, frame: int = 0, object_id: int | None = None
    ) -> int:
        """Take labels of a file or folder of any known format, as one edit; returns how many.

        Indexed PNG, COCO (also one mask in its run-length encoding), YouTube-VOS, CVAT for video,
        Label Studio, or key points; a folder may be a ZIP archive.

        Args:
            path: the file or folder.
            frame: of a single mask.
            object_id: of a single mask without a name; None takes the mask's own id.

        Raises:
            UserError: a file that cannot be read or is of another video, or a locked frame.
        """
        self.frames.check(frame)
        found = label_files.read(Path(path), self.labels, frame)
        return label_files.take(self.labels, found, Path(path).name, object_id)

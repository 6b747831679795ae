"""The labels of one video as they are known now: masks, points and confidence of its frames."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch.nn import functional

from scalable_binding.app.features import DISK_BYTES, CachedFeatures
from scalable_binding.app.frames import VideoFrames
from scalable_binding.app.project import FILE, Label, Object, Project, unpack_mask, unpack_soft
from scalable_binding.app.proposals import Click
from scalable_binding.crw import edges
from scalable_binding.crw import model as models
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.errors import UserError

Mask = Bool[np.ndarray, "h w"]


class VideoLabels:
    """A video, the project of its labels, and the model that its frames are compared by.

    Args:
        video: a video file or a folder of frames; None takes the project's own.
        folder: of the project; made if it is missing.
        model: gives the features of frames, or its name; loaded when it is first needed.
        config: how labels are propagated.
        cache_bytes: of features kept on the disk, at most.

    Raises:
        UserError: the video cannot be read, the project cannot be written, or it is of another
            video.
    """

    def __init__(
        self,
        video: str | Path | None,
        folder: Path,
        *,
        model: str | FeatureModel = "shipped",
        config: PropagationConfig | None = None,
        cache_bytes: int = DISK_BYTES,
    ) -> None:
        if video is None and not (folder / FILE).is_file():
            raise UserError(f"no project in {folder}", fix="open a video first")
        frames = None if video is None else VideoFrames(video)
        self.project = Project(folder)
        try:
            self.frames = frames or VideoFrames(self.project.setting("video", ""))
            self._check_video()
        except BaseException:
            self.project.close()
            raise
        self.config = config or PropagationConfig()
        self._model = model
        self._cache_bytes = cache_bytes
        self._features: CachedFeatures | None = None
        self._loading = threading.Lock()

    def _check_video(self) -> None:
        frames = self.frames
        shape = [frames.num_frames, *frames.own]
        known = self.project.setting("shape")
        if known is not None and known != shape:
            before, now = ("{} frames of {} x {} pixels".format(*each) for each in (known, shape))
            raise UserError(
                f"project {self.project.folder} is of another video", expected=before, got=now
            )
        self.project.set_setting("shape", shape)
        self.project.set_setting("video", str(frames.path.absolute()))

    @property
    def features(self) -> CachedFeatures:
        """The model, with the features of frames that it has seen; loaded at the first call."""
        with self._loading:
            if self._features is None:
                name = self._model if isinstance(self._model, str) else "given"
                model = models.load(self._model) if isinstance(self._model, str) else self._model
                stem = "".join(c if c.isalnum() else "-" for c in name)[-60:]
                cache = self.project.folder / "cache" / f"features-{stem}"
                self._check_stride(model.stride)
                self._features = CachedFeatures(model, cache, self._cache_bytes)
            return self._features

    def _check_stride(self, stride: int) -> None:
        """Soft labels in a project lie on the cells of the model that made them."""
        known = self.project.setting("stride")
        if known is not None and known != stride:
            raise UserError(
                f"project {self.project.folder} has labels on cells of {known} pixels",
                got=f"a model with cells of {stride}",
                fix="take the model of before, or another project",
            )
        self.project.set_setting("stride", stride)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames that are shown and of the masks on them."""
        return self.frames.height, self.frames.width

    @property
    def objects(self) -> list[Object]:
        """The objects, by their ids."""
        return self.project.objects()

    def object(self, object_id: int) -> Object:
        """The object of an id.

        Raises:
            UserError: there is none.
        """
        for each in self.objects:
            if each.id == object_id:
                return each
        got = ", ".join(str(each.id) for each in self.objects) or "none"
        raise UserError(f"no object {object_id}", expected=f"one of {got}")

    @property
    def locked(self) -> set[int]:
        """The locked frames."""
        return self.project.locks()

    def anchors(self, object_id: int) -> list[int]:
        """The frames whose label of an object propagations start from: given, or locked."""
        locks = self.locked
        return [
            status.frame
            for status in self.project.statuses()
            if status.object == object_id and (status.given or status.frame in locks)
        ]

    def ids(self, frame: int, *, own_size: bool = False) -> UInt8[np.ndarray, "h w"]:
        """The object id of every pixel of a frame, 0 for background, at the size shown.

        Soft maps are enlarged, following the edges of the frame, and the largest score wins; where
        masks that the user gave overlap, the latest wins.
        """
        self.frames.check(frame)
        size = self.frames.own if own_size else self.size
        known = self.project.labels(frame)
        labels = [each for each in known if (each.mask or each.soft) and each.x is None]
        labels.sort(key=lambda each: each.edit)
        scores = torch.zeros(len(labels) + 1, *size)
        soft = self._soft_scores(frame, [each for each in labels if each.mask is None], size)
        for channel, label in enumerate(labels, 1):
            scores[channel] = next(soft) if label.mask is None else self._given(label, size)
        scores[0] = (1 - scores[1:].sum(dim=0)).clamp(min=0)
        given = [label.given for label in labels]
        order = torch.arange(len(labels)) * 1e-4
        scores[1:][given] *= (1 + order[given])[:, None, None]
        table = np.array([0, *(label.object for label in labels)], dtype=np.uint8)
        return table[scores.argmax(dim=0).numpy()]

    def _given(self, label: Label, size: tuple[int, int]) -> Float[torch.Tensor, "h w"]:
        assert label.mask is not None
        mask = unpack_mask(label.mask, self.frames.height, self.frames.width)
        return torch.from_numpy(resize_mask(mask, size)).float()

    def _soft_scores(
        self, frame: int, labels: list[Label], size: tuple[int, int]
    ) -> Iterator[Float[torch.Tensor, "h w"]]:
        """The enlarged soft map of each label."""
        if not labels:
            return iter(())
        packed = [each.soft for each in labels if each.soft is not None]
        soft = torch.stack([torch.from_numpy(unpack_soft(each, *self.cells)) for each in packed])
        if not self.config.edges:
            return iter(functional.interpolate(soft[None], size, mode="bilinear")[0])
        guide = self.frames.frame(frame)
        if guide.shape[1:] != size:
            guide = functional.interpolate(guide[None], size, mode="bilinear")[0]
        background = (1 - soft.sum(0, keepdim=True)).clamp(min=0)
        return iter(edges.sharpen(torch.cat([background, soft]), guide)[1:])

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of the feature cells of a frame."""
        height, width = (round(side * self.config.zoom) for side in self.frames.carried)
        stride = self.project.setting("stride") or self.features.stride
        return -(-height // stride), -(-width // stride)

    def mask(self, frame: int, object_id: int) -> Mask:
        """The pixels of an object in a frame."""
        return self.ids(frame) == object_id

    def points(self, frame: int) -> dict[int, tuple[float, float, float]]:
        """The points of a frame by object id: x, y in pixels of the size shown, and confidence."""
        self.frames.check(frame)
        return {
            each.object: (each.x, each.y, each.confidence)
            for each in self.project.labels(frame)
            if each.x is not None and each.y is not None
        }

    def clicks(self, frame: int) -> dict[int, list[Click]]:
        """The clicks that made the masks of a frame, by object id."""
        known = self.project.labels(frame)
        return {each.object: json.loads(each.clicks) for each in known if each.clicks != "[]"}

    def confidence(self) -> Float[np.ndarray, " t"]:
        """The lowest confidence of an object in each frame; not a number where nothing is known."""
        lowest = np.full(self.frames.num_frames, np.nan)
        for status in self.project.statuses():
            lowest[status.frame] = np.fmin(lowest[status.frame], status.confidence)
        return lowest


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """A mask at another size, by its nearest pixels."""
    if mask.shape == size:
        return mask
    found = functional.interpolate(
        torch.from_numpy(mask)[None, None].float(), size, mode="nearest-exact"
    )
    return found[0, 0].numpy() > 0

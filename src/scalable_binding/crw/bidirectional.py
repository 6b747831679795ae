"""Label propagation from labels of any frames of a video: forward, backward, or both ways.

Both ways, a frame between two labels of an object takes the mean of what comes from either side:
by its distance to the other side, and by the confidence.
"""

from __future__ import annotations

import bisect
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from scalable_binding.crw import inference
from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.labels import Labels, LabelSpace
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.crw.propagator import (
    CellLabels,
    FeatureModel,
    Frame,
    Prediction,
    Propagator,
    predict,
)
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError, require_one_of

Direction = Literal["forward", "backward", "both"]

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward", "both")

_FAR = 3.0
"""Cells between the places of a point, as it comes from either side, beyond which the one of
larger weight is taken instead of the mean."""


@dataclass(frozen=True)
class Reference:
    """Labels of a frame, and the objects that they tell of; None: of all.

    A mask without one of its ``objects`` says that this one is not to be seen from there on, until
    labels of a later frame bring it again.
    """

    labels: Labels
    objects: tuple[int, ...] | None = None


@runtime_checkable
class Frames(Protocol):
    """A video whose frames can be read in either direction of time."""

    def forward(self, start: int, stop: int | None) -> Iterator[Frame]:
        """The frames from ``start`` on, up to ``stop`` (not included) or the end."""
        ...

    def backward(self, start: int, stop: int) -> Iterator[Frame]:
        """The frames from ``stop - 1`` down to ``start``."""
        ...


class InMemory:
    """Frames ``(t 3 h w)`` in memory."""

    def __init__(self, frames: Sequence[Frame] | Tensor) -> None:
        self._frames = frames

    def forward(self, start: int, stop: int | None) -> Iterator[Frame]:
        """The frames from ``start`` on, up to ``stop`` (not included) or the end."""
        last = len(self._frames) if stop is None else min(stop, len(self._frames))
        return (self._frames[number] for number in range(start, last))

    def backward(self, start: int, stop: int) -> Iterator[Frame]:
        """The frames from ``stop - 1`` down to ``start``."""
        return (self._frames[number] for number in range(stop - 1, start - 1, -1))


def propagate_references(
    frames: Frames,
    references: Mapping[int, Reference],
    model: FeatureModel,
    config: PropagationConfig | None = None,
    *,
    direction: Direction | str = "forward",
    start: int = 0,
    stop: int | None = None,
    adaptation: AdaptationConfig | None = None,
    tick: Callable[[], object] | None = None,
) -> Iterator[Prediction]:
    """The labels of every frame of a range, from labels of any of its frames.

    Frames come in the order of time, and backward from the last to the first. Forward, an object
    has no labels before its first ones, backward none after its last ones. Both ways, labels are
    first carried back from the last labeled frame, and kept on the disk (two bytes a cell and
    label), then forward.

    Args:
        frames: the video.
        references: labels by the number of their frame; all masks, or all points.
        model: gives the features.
        config: the context and its use.
        direction: "forward", "backward" or "both".
        start: first frame to label.
        stop: end of the frames to label; None: the video's. Backward needs one.
        adaptation: train a copy of the model on the frames around on the way.
        tick: is called after every frame of every pass; both ways, frames up to the last labeled
            one are passed twice.

    Raises:
        UserError: no labels, labels of frames outside of the range or of another kind or size, or
            a direction that is none.

    Source: Thesis 3.3.1, in either direction of time.
    """
    require_one_of("direction", direction, DIRECTIONS)
    run = _Run(frames, references, model, config or PropagationConfig(), adaptation, start, stop)
    run.tick = tick or run.tick
    if direction == "forward":
        yield from run.forward(None)
        return
    with tempfile.TemporaryFile() as file:
        back = run.backward()
        if direction == "backward":
            yield from run.joined_backward(back)
            return
        kept = _Store(file, back)
        yield from run.forward(kept)


class _Store:
    """Label maps of frames in a file, as float16."""

    def __init__(self, file: IO[bytes], maps: Iterable[_Found]) -> None:
        self._file = file
        self._places: dict[int, int] = {}
        self._shape: tuple[int, ...] = ()
        for found in maps:
            self._shape = tuple(found.maps.shape)
            self._places[found.number] = file.tell()
            file.write(found.maps.half().cpu().numpy().tobytes())

    def __call__(self, number: int) -> CellLabels | None:
        """The maps of a frame."""
        if number not in self._places:
            return None
        self._file.seek(self._places[number])
        content = bytearray(self._file.read(2 * math.prod(self._shape)))
        return torch.from_numpy(np.frombuffer(content, np.float16).reshape(self._shape)).float()


@dataclass(frozen=True)
class _Found:
    """A frame of a pass with its label maps; None before the pass has met a label."""

    number: int
    frame: Frame
    maps: CellLabels


class _Run:
    """One propagation: its labels, and the passes through the video."""

    def __init__(
        self,
        frames: Frames,
        references: Mapping[int, Reference],
        model: FeatureModel,
        config: PropagationConfig,
        adaptation: AdaptationConfig | None,
        start: int,
        stop: int | None,
    ) -> None:
        self._frames, self._references = frames, dict(sorted(references.items()))
        self._model, self._config, self._adaptation = model, config, adaptation
        self._start, self._stop = start, stop
        self.tick: Callable[[], object] = lambda: None
        self._check()
        self._space = _space(self._references.values())
        self._anchors = {label: self._anchors_of(label) for label in self._space.ids}

    def _check(self) -> None:
        numbers = [*self._references]
        if not numbers:
            raise UserError("labels", expected="labels of at least one frame", got="none")
        if self._start < 0 or (self._stop is not None and self._stop <= self._start):
            got = f"{self._start} to {self._stop}"
            raise UserError("frames", expected="0 <= start < stop", got=got)
        last = math.inf if self._stop is None else self._stop - 1
        for number in numbers:
            if not self._start <= number <= last:
                end = "on" if self._stop is None else f"to {self._stop - 1}"
                expected = f"a frame from {self._start} {end}"
                raise UserError(f"labels of frame {number}", expected=expected)

    def _anchors_of(self, label: int) -> list[_Anchor]:
        anchors = []
        for number, reference in self._references.items():
            labels = reference.labels
            if not isinstance(labels, Tensor):
                if any(point.id == label for point in labels):
                    anchors.append(_Anchor(number, is_end=False))
            elif reference.objects is None:
                anchors.append(_Anchor(number, is_end=False))
            elif label in reference.objects:
                anchors.append(_Anchor(number, is_end=not bool((labels == label).any())))
        return anchors

    def forward(self, back: _Store | None) -> Iterator[Prediction]:
        """The frames in order, joined with what a pass backward has left, if it has."""
        first = next(iter(self._references))
        count = self._start
        for number, frame in enumerate(self._frames.forward(self._start, first), self._start):
            count += 1
            yield self._joined(number, frame, None, None if back is None else back(number))
        numbers = range(first, 2**62 if self._stop is None else self._stop)
        passed = self._pass(numbers, self._frames.forward(first, self._stop))
        for found in passed:
            count += 1
            later = None if back is None else back(found.number)
            yield self._joined(found.number, found.frame, found.maps, later)
        last = max(self._references)
        if count <= last:
            expected = f"a frame below {count}, where the video ends"
            raise UserError(f"labels of frame {last}", expected=expected)

    def backward(self) -> Iterator[_Found]:
        """A pass from the last labeled frame to the start."""
        last = max(self._references)
        numbers = range(last, self._start - 1, -1)
        yield from self._pass(numbers, self._frames.backward(self._start, last + 1))

    def joined_backward(self, back: Iterator[_Found]) -> Iterator[Prediction]:
        """The frames from the last to the first; those after the last labels have none."""
        if self._stop is None:
            raise UserError("stop", expected="the end of the video, to go backward", got="none")
        last = max(self._references)
        frames = self._frames.backward(last + 1, self._stop)
        for number, frame in zip(range(self._stop - 1, last, -1), frames, strict=False):
            yield self._joined(number, frame, None, None)
        for found in back:
            yield self._joined(found.number, found.frame, None, found.maps)

    def _pass(self, numbers: range, frames: Iterator[Frame]) -> Iterator[_Found]:
        propagator = Propagator(self._model, self._config)
        if self._adaptation is not None:
            frames = inference.adapting(frames, propagator, self._adaptation)
        for number, frame in zip(numbers, frames, strict=False):
            reference = self._references.get(number)
            with torch.no_grad():
                if number == numbers[0]:
                    assert reference is not None
                    given = reference.labels, self._space, reference.objects
                    maps = propagator.start(frame, *given).maps
                else:
                    maps = propagator.advance(frame)
                    if reference is not None:
                        maps = propagator.correct(reference.labels, reference.objects).maps
            self.tick()
            yield _Found(number, frame, maps)

    def _joined(
        self, number: int, frame: Frame, before: CellLabels | None, after: CellLabels | None
    ) -> Prediction:
        """What is known of a frame from labels before and after it."""
        zoom, stride = self._config.zoom, self._model.stride
        empty = before if before is not None else after
        if empty is None:
            cells = label_maps.num_cells(frame.shape[1], frame.shape[2], zoom, stride)
            empty = torch.zeros(*cells, len(self._space.ids) + 1)
        empty = torch.zeros_like(empty, device="cpu" if before is None else before.device)
        sides = (
            empty if before is None else before,
            empty if after is None else after.to(empty.device),
        )
        shares = self._shares(number, before, after)
        maps = torch.zeros_like(empty)
        for channel, of_each in enumerate(shares, 1):
            for side, share in zip(sides, of_each, strict=True):
                if share:
                    maps[..., channel] += share * side[..., channel]
        total = maps.sum(dim=-1, keepdim=True)
        if not self._space.are_points:
            maps /= total.clamp(min=1)
        maps[..., 0] = (1 - maps.sum(dim=-1)).clamp(min=0)
        if before is not None and after is None and all(s == (1.0, 0.0) for s in shares):
            maps = before
        sharp = self._config.edges and number not in self._references
        joined = predict(maps, self._space, number, frame, zoom, stride, sharp=sharp)
        if not self._space.are_points:
            return joined
        found = [
            predict(side, self._space, number, frame, zoom, stride, sharp=False).keypoints
            for side in sides
        ]
        points = (self._join(*pair) for pair in zip(*found, shares, strict=True))
        return replace(joined, keypoints=tuple(points))

    def _shares(
        self, number: int, before: CellLabels | None, after: CellLabels | None
    ) -> list[tuple[float, float]]:
        """How much of each label comes from the frames before and after."""
        shares = []
        for channel, label in enumerate(self._space.ids, 1):
            anchors = self._anchors[label]
            index = bisect.bisect_right(anchors, number, key=lambda anchor: anchor.frame)
            earlier = anchors[index - 1] if index else None
            later = anchors[index] if index < len(anchors) else None
            if earlier is not None and earlier.is_end:
                shares.append((0.0, 0.0))
                continue
            near = 0.0 if before is None or earlier is None else 1.0
            far = 0.0 if after is None or later is None or later.is_end else 1.0
            if earlier is not None and earlier.frame == number and after is not None:
                near, far = (0.0, 1.0) if before is None else (1.0, 0.0)
            if near and far and earlier is not None and later is not None:
                assert before is not None and after is not None
                near = (later.frame - number) * label_maps.confidence(before, channel)
                far = (number - earlier.frame) * label_maps.confidence(after, channel)
                if near + far == 0:
                    near, far = 1.0, 1.0
            total = max(near + far, 1e-12)
            shares.append((near / total, far / total))
        return shares

    def _join(self, before: Keypoint, after: Keypoint, shares: tuple[float, float]) -> Keypoint:
        """A point as it comes from either side: the mean, or where they disagree, the surer one."""
        near, far = shares[0] * before.confidence, shares[1] * after.confidence
        chosen = before if near >= far else after
        if near + far == 0:
            return replace(chosen, confidence=0.0)
        cell = self._model.stride / self._config.zoom
        apart = math.hypot(before.x - after.x, before.y - after.y) > _FAR * cell
        if apart or not (near and far):
            return chosen
        near, far = near / (near + far), far / (near + far)
        return replace(
            before,
            x=near * before.x + far * after.x,
            y=near * before.y + far * after.y,
            confidence=near * before.confidence + far * after.confidence,
        )


@dataclass(frozen=True)
class _Anchor:
    """A frame whose labels tell of an object; at an end it is not to be seen any more."""

    frame: int
    is_end: bool


def _space(references: Iterable[Reference]) -> LabelSpace:
    """The labels of all references.

    Raises:
        UserError: some are masks and some points, or one has no label.
    """
    spaces = [
        label_maps.space_of(reference.labels)
        if reference.objects is None
        else label_maps.told(reference.labels, reference.objects)
        for reference in references
    ]
    if len({space.are_points for space in spaces}) > 1:
        expected = "masks for all labeled frames, or key points for all"
        raise UserError("corrections", expected=expected, got="both")
    ids = sorted({label for space in spaces for label in space.ids})
    return LabelSpace(tuple(ids), spaces[0].are_points)

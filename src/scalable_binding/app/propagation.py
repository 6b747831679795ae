"""Which labels a propagation makes, in which order, and the loop that makes them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scalable_binding.app.project import Label, Status, pack_soft, unpack_soft
from scalable_binding.app.video_labels import VideoLabels
from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.inference import Prediction, Propagator
from scalable_binding.crw.labels import LabelSpace
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError

Direction = Literal["forward", "backward", "both"]
Cells = Float[Tensor, "h8 w8 c"]

_DIRECTIONS: dict[str, Direction | Literal["stale"]] = {
    "forward": "forward",
    "backward": "backward",
    "both": "both",
    "stale": "stale",
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A frame that has been labeled: for which objects, and how much is left.

    ``confidence`` is that of each object, ``seconds_left`` an estimate.
    """

    frame: int
    objects: tuple[int, ...]
    confidence: tuple[float, ...]
    done: int
    total: int
    seconds_left: float


@dataclass(frozen=True)
class Span:
    """Frames to label for some objects, in order, from an anchor.

    ``frames`` begins beside the anchor; those before ``first`` are done already. ``far`` is the
    labeled frame at the other end, if there is one.
    """

    objects: tuple[int, ...]
    are_points: bool
    anchor: int
    far: int | None
    frames: range
    first: int

    @property
    def todo(self) -> range:
        """The frames that are still to label."""
        return self.frames[self.frames.index(self.first) :]


def plan(
    labels: VideoLabels,
    direction: Direction | Literal["stale"],
    objects: Sequence[int] | None = None,
    frames: range | None = None,
) -> list[Span]:
    """The spans that a propagation has to label, those of one kind and place together."""
    locks = labels.locked
    by_object: dict[int, dict[int, Status]] = {each.id: {} for each in labels.objects}
    for status in labels.project.statuses():
        by_object[status.object][status.frame] = status
    kinds = {each.id: each.kind for each in labels.objects}
    together: dict[tuple[bool, int, int | None, range, int], list[int]] = {}
    for object_id, known in by_object.items():
        if objects is not None and object_id not in objects:
            continue
        anchors = [frame for frame in sorted(known) if known[frame].given or frame in locks]
        for anchor, far, reach in _reaches(anchors, labels.frames.num_frames, direction):
            first = _first_to_do(reach, known, frames, only_stale=direction == "stale")
            if first is not None:
                key = kinds[object_id] == "point", anchor, far, reach, first
                together.setdefault(key, []).append(object_id)
    return [
        Span(tuple(ids), are_points, anchor, far, reach, first)
        for (are_points, anchor, far, reach, first), ids in together.items()
    ]


def _reaches(
    anchors: Sequence[int], count: int, direction: Direction | Literal["stale"]
) -> Iterator[tuple[int, int | None, range]]:
    """Anchor, far end and frames of the spans between anchors and around them."""
    if not anchors:
        return
    forward, backward = direction in ("forward", "both", "stale"), direction != "forward"
    if backward:
        yield anchors[0], None, range(anchors[0] - 1, -1, -1)
    for left, right in pairwise(anchors):
        middle = (left + right) // 2 if direction == "both" else right - 1
        if forward:
            yield left, right, range(left + 1, middle + 1)
        if backward:
            stop = middle if direction == "both" else left
            yield right, left, range(right - 1, stop, -1)
    if forward:
        yield anchors[-1], None, range(anchors[-1] + 1, count)


def _first_to_do(
    reach: range, known: dict[int, Status], frames: range | None, *, only_stale: bool
) -> int | None:
    """The first frame of a span that has no label made in this direction, or a stale one."""
    for frame in reach:
        status = known.get(frame)
        if only_stale:
            if status is not None and status.stale and status.direction == reach.step:
                return frame
        elif frames is not None and frame not in frames:
            if status is None:
                return None  # labels cannot jump over a frame
        elif status is None or status.stale or status.direction != reach.step:
            return frame
    return None


def propagate(
    labels: VideoLabels,
    direction: Direction | str,
    objects: Sequence[int] | None,
    frames: range | None,
) -> Iterator[Step]:
    """Label what :func:`plan` finds, span by span, and look again until nothing is left."""
    if direction not in _DIRECTIONS:
        expected = "forward, backward or both"
        raise UserError("direction", expected=expected, got=direction)
    known = {each.id for each in labels.objects}
    if objects is not None and not set(objects) <= known:
        raise UserError(f"no object {min(set(objects) - known)}")
    if direction != "stale" and not any(
        s.given or s.frame in labels.locked for s in labels.project.statuses()
    ):
        raise UserError("nothing is labeled yet", fix="mark an object in a frame first")
    return _propagate(labels, _DIRECTIONS[direction], objects, frames)


def _propagate(
    labels: VideoLabels,
    direction: Direction | Literal["stale"],
    objects: Sequence[int] | None,
    frames: range | None,
) -> Iterator[Step]:
    done, pace = 0, _Pace()
    while spans := plan(labels, direction, objects, frames):
        left = sum(len(_wanted(span, labels, direction, frames)) for span in spans)
        total, before = done + left, done
        for found in _run(labels, spans[0], _wanted(spans[0], labels, direction, frames)):
            done += 1
            yield Step(
                frame=found[0].frame,
                objects=tuple(label.object for label in found),
                confidence=tuple(label.confidence for label in found),
                done=done,
                total=max(total, done),
                seconds_left=pace.tick() * max(total - done, 0),
            )
        if done == before:
            return  # the labels that it starts from change faster than one frame is made


def _wanted(
    span: Span, labels: VideoLabels, direction: Direction | Literal["stale"], frames: range | None
) -> list[int]:
    """The frames that a span labels: up to the last one asked for, or the last stale one."""
    if direction == "stale":
        stale = {
            s.frame
            for s in labels.project.statuses()
            if s.stale and s.direction == span.frames.step and s.object in span.objects
        }
        asked = [frame for frame in span.todo if frame in stale]
    else:
        asked = [frame for frame in span.todo if frames is None or frame in frames]
    if not asked:
        return []
    return list(span.todo)[: span.todo.index(asked[-1]) + 1]


class _Pace:
    """Seconds a frame, as a running mean."""

    def __init__(self) -> None:
        self._last, self._mean = time.monotonic(), 0.0

    def tick(self) -> float:
        now = time.monotonic()
        took, self._last = now - self._last, now
        self._mean = took if not self._mean else 0.8 * self._mean + 0.2 * took
        return self._mean


def _run(labels: VideoLabels, span: Span, numbers: Sequence[int]) -> Iterator[list[Label]]:
    """Label frames of a span; ends early when the labels that it starts from have changed."""
    edits = {s.object: s.edit for s in labels.project.statuses() if s.frame == span.anchor}
    space = LabelSpace(span.objects, span.are_points)
    propagator = _prepare(labels, span, space)
    frames = labels.frames.walk_carried(numbers[0], len(numbers), span.frames.step)
    for number, frame in zip(numbers, frames, strict=True):
        with torch.inference_mode():
            found = _labels(labels, span, number, propagator.step(frame))
        if not labels.project.put_made(found, edits):
            return
        yield found


def _prepare(labels: VideoLabels, span: Span, space: LabelSpace) -> Propagator:
    """A propagator that stands before the first frame to label."""
    # Soft labels of cells are kept; their masks are drawn along edges when a frame is shown.
    propagator = Propagator(labels.features, replace(labels.config, edges=False))
    ends = [span.anchor] if span.far is None else [span.far, span.anchor]
    references = [
        (labels.frames.read_carried(number), _reference(labels, number, space)) for number in ends
    ]
    before = span.frames[: span.frames.index(span.first)][-labels.config.context :]
    recent = [
        (labels.frames.read_carried(number), _reference(labels, number, space)) for number in before
    ]
    with torch.inference_mode():
        propagator.resume(space, references, recent)
    return propagator


def _reference(labels: VideoLabels, number: int, space: LabelSpace) -> Cells:
    """The label map of a frame on feature cells, of a span's objects."""
    known = {each.object: each for each in labels.project.labels(number)}
    height, width = labels.frames.carried
    if space.are_points:
        return _points_reference(labels, number, space, known)
    visible = labels.ids(number)
    maps = torch.zeros(len(space.ids) + 1, *labels.cells)
    for channel, object_id in enumerate(space.ids, 1):
        label = known.get(object_id)
        if label is None:
            continue
        if label.soft is not None:
            maps[channel] = torch.from_numpy(unpack_soft(label.soft, *labels.cells))
            continue
        mask = torch.from_numpy(visible == object_id)[None, None].float()
        if mask.shape[2:] != (height, width):
            mask = functional.interpolate(mask, (height, width), mode="area")
        one = LabelSpace((1,), are_points=False)
        soft = torch.cat([1 - mask[0], mask[0]])
        zoom, stride = labels.config.zoom, labels.features.stride
        maps[channel] = label_maps.encode(soft, one, height, width, zoom, stride)[..., 1]
    maps[0] = (1 - maps[1:].sum(dim=0)).clamp(min=0)
    return maps.movedim(0, -1).contiguous()


def _points_reference(
    labels: VideoLabels, number: int, space: LabelSpace, known: dict[int, Label]
) -> Cells:
    height, width = labels.frames.carried
    across, down = width / labels.frames.width, height / labels.frames.height
    given = [
        Keypoint(
            number,
            label.object,
            min(max((label.x + 0.5) * across - 0.5, 0.0), width - 1.0),
            min(max((label.y + 0.5) * down - 0.5, 0.0), height - 1.0),
        )
        for label in known.values()
        if label.object in space.ids
        and label.soft is None
        and label.x is not None
        and label.y is not None
    ]
    zoom, stride = labels.config.zoom, labels.features.stride
    maps = label_maps.encode(given, space, height, width, zoom, stride)
    for channel, object_id in enumerate(space.ids, 1):
        label = known.get(object_id)
        if label is not None and label.soft is not None:
            maps[..., channel] = torch.from_numpy(unpack_soft(label.soft, *labels.cells))
    maps[..., 0] = (1 - maps[..., 1:].sum(dim=-1)).clamp(min=0)
    return maps


def _labels(labels: VideoLabels, span: Span, number: int, prediction: Prediction) -> list[Label]:
    """What a prediction says of each object, to be stored."""
    height, width = labels.frames.carried
    across, down = labels.frames.width / width, labels.frames.height / height
    points = {point.id: point for point in prediction.keypoints}
    found = []
    for channel, object_id in enumerate(span.objects, 1):
        x = y = None
        if span.are_points:
            point = points[object_id]
            x, y = (point.x + 0.5) * across - 0.5, (point.y + 0.5) * down - 0.5
            confidence = point.confidence
        else:
            confidence = label_maps.confidence(prediction.maps, channel)
        found.append(
            Label(
                frame=number,
                object=object_id,
                given=False,
                soft=pack_soft(prediction.maps[..., channel].cpu().numpy()),
                x=x,
                y=y,
                confidence=confidence,
                anchor=span.anchor,
                far=span.far,
                direction=span.frames.step,
            )
        )
    return found

"""Label propagation from files to files: a video and its labeled frame in, label files out."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import calibration, inference
from scalable_binding.crw.labels import space_of
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.data.labels.resizing import Prompt, scale_of
from scalable_binding.data.results import NUMBER
from scalable_binding.errors import UserError
from scalable_binding.plots import keypoints as drawn_points

Frame = UInt8[Tensor, "3 h w"]
Draw = Callable[[int, Frame], Frame]

_POINTS = "keypoints.csv"
_KEYPOINT_FORMATS = (".csv", ".json")
_CHUNK = 32

_VOID = 255
"""What some data sets write where nobody could say what is there."""

_MANY_NAMES = 5
"""Objects that a warning names."""

_MANY = 40
"""Objects in a mask above which they are likely to be the shades of a soft brush."""


def label_video(
    video: Path,
    labels: Path,
    out: Path,
    *,
    weights: str,
    calibrate: Sequence[Path] = (),
    size: int,
    config: PropagationConfig,
    adaptation: AdaptationConfig | None,
    corrections: Mapping[int, Path],
    backward: bool,
) -> str:
    """What was written to the folder ``out``: labels of every frame, each mask as it is known.

    The encoder's reader is first fitted on frames of the videos in ``calibrate``.
    ``corrections`` are label files of other frames, by their number in the video; labels are
    carried with at most ``size`` pixels on the short side and come back at the video's own size.
    What the user gave for a frame is written as it was given.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    encoder = calibration.load(weights, calibrate)
    scale = scale_of(video, size)
    count = videos.count(video)
    given = read_prompts(labels, corrections, count, backward=backward)
    order = range(count - 1, -1, -1) if backward else range(count)
    prompts = {
        number: scale.shrink(prompt, f"labels of frame {order[number]}")
        for number, prompt in given.items()
    }
    side = min(scale.carried)
    frames = (
        videos.stream_backward(video, count, side) if backward else videos.stream(video, size=side)
    )
    predictions = inference.propagate(
        frames, prompts.pop(0), encoder, config, adaptation=adaptation, corrections=prompts
    )
    first = next(predictions)  # refuses what cannot be used, before older results are removed
    _warn_of_lost(first)
    _remove_stale(out, kept={path.resolve() for path in (labels, *corrections.values())})
    found = (
        _with_given(scale.grow(prediction), given.get(prediction.frame))
        for prediction in chain([first], predictions)
    )
    return _write(out, order, found)


def _warn_of_lost(first: inference.Prediction) -> None:
    """Say which objects of a mask left no trace on the cells that labels are carried on."""
    if first.keypoints:
        return
    traces = first.scores[1:].flatten(1).any(dim=1).tolist()
    lost = [number for number, trace in zip(first.ids, traces, strict=True) if not trace]
    if lost:
        names = ", ".join(map(str, lost[:_MANY_NAMES])) + (", ..." if lost[_MANY_NAMES:] else "")
        text = f"too small or thin to be carried, and lost: object {names}"
        warnings.warn(f"{text}; enlarge frames: --zoom 2", stacklevel=2)


def _write(out: Path, order: Sequence[int], found: Iterable[Prompt]) -> str:
    """Write the labels of the frames in the order in which they come; what was written."""
    points: list[keypoints.Keypoint] = []
    try:
        # A context: an interruption stops the progress line before anything else is printed.
        with Progress(console=Console(stderr=True)) as progress:
            labeled = progress.track(found, len(order), description="labeling")
            for frame, labels in zip(order, labeled, strict=True):
                if isinstance(labels, list):
                    points += [replace(point, frame=frame) for point in labels]
                else:
                    masks.write(out / f"{frame:05}.png", labels)
    finally:
        if points:
            keypoints.write(out / _POINTS, sorted(points, key=lambda point: point.frame))
    if points:
        return f"key points of {len(order)} frames: {out / _POINTS}"
    return f"{'one mask' if len(order) == 1 else f'{len(order)} masks'}: {out}"


def _remove_stale(out: Path, kept: Collection[Path]) -> None:
    """Remove what an earlier call has left, but for labels that this one reads."""
    for stale in (*out.glob(f"{NUMBER}.png"), out / _POINTS):
        if stale.resolve() not in kept:
            stale.unlink(missing_ok=True)


def _with_given(found: Prompt, given: Prompt | None) -> Prompt:
    """The labels of a frame, the user's own in place of what was made of them."""
    if not isinstance(found, list) or not isinstance(given, list):
        return found if given is None else given
    known = {point.id: point for point in given}
    return [known.get(point.id, point) for point in found]


def read_prompts(
    labels: Path, corrections: Mapping[int, Path], count: int, *, backward: bool
) -> dict[int, Prompt]:
    """Labels by the order in which propagation meets their frames; 0 is where it starts.

    A table of keypoints may hold corrections itself: points of frames other than the start.

    Raises:
        UserError: a file cannot be read or holds no label, labels are for a frame that the video
            does not have, or some are masks and some key points.
    """
    start = count - 1 if backward else 0
    if start in corrections:
        fix = "leave one of them out"
        raise UserError(f"--correct {start}={corrections[start]} is of the labeled frame", fix=fix)
    by_frame: dict[int, Prompt] = {}
    for frame, path in {start: labels, **corrections}.items():
        if path.suffix.lower() not in _KEYPOINT_FORMATS:
            by_frame[frame] = masks.read(path)
            continue
        for point in keypoints.read(path):
            here = by_frame.setdefault(point.frame if path == labels else frame, [])
            if isinstance(here, list):
                here.append(point)
    wrong = [frame for frame in by_frame if not 0 <= frame < count]
    if wrong:
        raise UserError(
            f"labels of frame {wrong[0]}", expected=f"a frame from 0 to {count - 1} of the video"
        )
    if start not in by_frame:
        raise UserError(f"labels {labels}", expected=f"labels of frame {start}", got="none")
    for frame, prompt in by_frame.items():
        if not isinstance(prompt, list):
            _warn_of_ids(frame, space_of(prompt).ids)
    if len({isinstance(prompt, list) for prompt in by_frame.values()}) > 1:
        expected = "masks for all labeled frames, or key points for all"
        raise UserError("corrections", expected=expected, got="both")
    return {abs(start - frame): prompt for frame, prompt in by_frame.items()}


def _warn_of_ids(frame: int, ids: Sequence[int]) -> None:
    """Say so where a mask seems to mean something else than what it says."""
    text = f"the mask of frame {frame} has "
    if len(ids) > _MANY:
        text += f"{len(ids)} objects; if you painted fewer, paint them without smoothing"
        warnings.warn(text, stacklevel=3)
    elif len(ids) > 1 and _VOID in ids and max(set(ids) - {_VOID}) < _MANY:
        text += f"an object {_VOID} beside small numbers; if that means void, make it 0"
        warnings.warn(text, stacklevel=3)


def draw_overlay(video: Path, labeled: Path, overlay: Path) -> None:
    """Write the video with the masks or keypoints of the folder ``labeled`` drawn over it.

    Raises:
        UserError: the video or a label cannot be read, or the overlay cannot be written.
    """
    points = labeled / _POINTS
    draw = _with_points(keypoints.read(points)) if points.exists() else _with_masks(labeled)
    frames = (draw(number, frame) for number, frame in enumerate(videos.stream(video)))
    videos.write(overlay, frames, fps=videos.probe(video).fps)


def _with_masks(folder: Path) -> Draw:
    return lambda number, frame: plots.overlay(frame, masks.read(folder / f"{number:05}.png"))


def _with_points(points: Iterable[keypoints.Keypoint]) -> Draw:
    by_frame: dict[int, list[keypoints.Keypoint]] = defaultdict(list)
    for point in points:
        by_frame[point.frame].append(point)

    def draw(number: int, frame: Frame) -> Frame:
        here = by_frame[number]
        return drawn_points.draw(
            frame,
            torch.tensor([(point.x, point.y) for point in here]).reshape(-1, 2),
            torch.tensor([point.id for point in here], dtype=torch.int64),
            torch.tensor([point.confidence for point in here]),
        )

    return draw

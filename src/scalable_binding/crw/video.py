"""Label propagation from files to files: a video and its labeled frame in, label files out."""

from __future__ import annotations

import itertools
import warnings
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.data.labels.resizing import Prompt, scale_of
from scalable_binding.data.results import NUMBER
from scalable_binding.errors import UserError
from scalable_binding.plots import keypoints as drawn_points

Frame = UInt8[Tensor, "3 h w"]

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
    reading: ReadingConfig | None = None,
    size: int,
    config: PropagationConfig,
    adaptation: AdaptationConfig | None,
    corrections: Mapping[int, Path],
    backward: bool,
    overlay: Path | None = None,
) -> str:
    """What was written to the folder ``out``: labels of every frame, each mask as it is known.

    The encoder's reader is first fitted on frames of the videos in ``calibrate``.
    ``corrections`` are label files of other frames, by their number in the video; labels are
    carried with at most ``size`` pixels on the short side and come back at the video's own size.
    What the user gave for a frame is written as it was given. ``overlay`` is a video to draw,
    labels over frames. Forward, and without corrections, the video is decoded once.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    encoder = calibration.load(weights, calibrate, reading)
    scale = scale_of(video, size)
    count = videos.count(video) if backward else None
    given = read_prompts(labels, corrections, video, count)
    order = itertools.count() if count is None else range(count - 1, -1, -1)
    prompts = {
        number: scale.shrink(
            prompt, f"labels of frame {number if count is None else count - 1 - number}"
        )
        for number, prompt in given.items()
    }
    shown: deque[Frame] = deque()
    frames = _frames(video, min(scale.carried), count, shown if overlay is not None else None)
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
    writing = _Writing(out)
    total = videos.probe(video).num_frames if count is None else count
    written = writing.write(order, found, total)
    if overlay is None or backward:
        deque(written, maxlen=0)
        if overlay is not None:
            draw_overlay(video, out, overlay)
    else:
        painted = (_paint(shown.popleft(), one) for one in written)
        videos.write(overlay, painted, fps=videos.probe(video).fps)
    return writing.summary()


def _frames(
    video: Path, side: int, count: int | None, shown: deque[Frame] | None
) -> Iterator[Frame]:
    """The frames that labels are carried on; where they are to be shown, their own size is kept."""
    if count is not None:
        yield from videos.stream_backward(video, count, side)
    elif shown is None:
        yield from videos.stream(video, size=side)
    else:
        for own, small in videos.stream_both(video, side):
            shown.append(own)
            yield small


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


class _Writing:
    """Writes the labels of frames to a folder as they come."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._points: list[keypoints.Keypoint] = []
        self._count = 0

    def write(
        self, order: Iterable[int], found: Iterable[Prompt], total: int | None
    ) -> Iterator[Prompt]:
        """The labels, each passed on once it is written; points in one table, at the end."""
        try:
            # A context: an interruption stops the progress line before anything else is printed.
            with Progress(console=Console(stderr=True)) as progress:
                labeled = progress.track(found, total, description="labeling")
                for labels, frame in zip(labeled, order, strict=False):
                    self._count += 1
                    if isinstance(labels, list):
                        self._points += [replace(point, frame=frame) for point in labels]
                    else:
                        masks.write(self._out / f"{frame:05}.png", labels)
                    yield labels
        finally:
            if self._points:
                path = self._out / _POINTS
                keypoints.write(path, sorted(self._points, key=lambda point: point.frame))

    def summary(self) -> str:
        """What was written, in words."""
        if self._points:
            return f"key points of {self._count} frames: {self._out / _POINTS}"
        return f"{'one mask' if self._count == 1 else f'{self._count} masks'}: {self._out}"


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
    labels: Path,
    corrections: Mapping[int, Path],
    video: Path,
    count: int | None = None,
) -> dict[int, Prompt]:
    """Labels by the order in which propagation meets their frames; 0 is where it starts.

    A table of keypoints may hold corrections itself: points of frames other than the start.
    With a ``count`` of the video's frames it starts at the last of them, and else at the first.

    Raises:
        UserError: a file cannot be read or holds no label, labels are for a frame that the video
            does not have, or some are masks and some key points.
    """
    start = 0 if count is None else count - 1
    if start in corrections:
        fix = "leave one of them out"
        raise UserError(f"--correct {start}={corrections[start]} is of the labeled frame", fix=fix)
    by_frame: dict[int, Prompt] = {}
    painted: dict[int, Path] = {}
    for frame, path in {start: labels, **corrections}.items():
        if path.suffix.lower() not in _KEYPOINT_FORMATS:
            painted[frame] = path
            continue
        for point in keypoints.read(path):
            here = by_frame.setdefault(point.frame if path == labels else frame, [])
            if isinstance(here, list):
                here.append(point)
    by_frame.update(zip(painted, masks.read_many([*painted.values()]), strict=True))
    if count is None:  # decoded for what corrects only: its frame has to be there
        count = videos.count(video) if by_frame.keys() - {start} else 1
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
    by_frame: dict[int, list[keypoints.Keypoint]] | None = None
    if points.exists():
        by_frame = defaultdict(list)
        for point in keypoints.read(points):
            by_frame[point.frame].append(point)

    def labels_of(number: int) -> Prompt:
        return masks.read(labeled / f"{number:05}.png") if by_frame is None else by_frame[number]

    frames = (_paint(frame, labels_of(n)) for n, frame in enumerate(videos.stream(video)))
    videos.write(overlay, frames, fps=videos.probe(video).fps)


def _paint(frame: Frame, labels: Prompt) -> Frame:
    """The frame with its mask or its points drawn over it."""
    if not isinstance(labels, list):
        return plots.overlay(frame, labels)
    return drawn_points.draw(
        frame,
        torch.tensor([(point.x, point.y) for point in labels]).reshape(-1, 2),
        torch.tensor([point.id for point in labels], dtype=torch.int64),
        torch.tensor([point.confidence for point in labels]),
    )

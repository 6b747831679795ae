"""Label propagation from files to files: a video and its labels in, label files out."""

from __future__ import annotations

import warnings
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import bidirectional, calibration, prompts
from scalable_binding.crw.bidirectional import Direction, Reference
from scalable_binding.crw.inference import Prediction
from scalable_binding.crw.label_writing import POINTS, LabelWriter, check_formats, remove_stale
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.crw.progress import FrameProgress
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import formats, keypoints, masks
from scalable_binding.data.labels.resizing import Prompt, scale_of
from scalable_binding.errors import UserError
from scalable_binding.plots import keypoints as drawn_points

Frame = UInt8[Tensor, "3 h w"]

_MANY_NAMES = 5
"""Objects that a warning names."""


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
    direction: Direction = "forward",
    start: int = 0,
    stop: int | None = None,
    at: int | None = None,
    kinds: Sequence[str] = (),
    overlay: Path | None = None,
    device: str = "cpu",
) -> str:
    """What was written to the folder ``out``: labels of every frame of a range.

    The encoder's reader is first fitted on frames of the videos in ``calibrate``. ``labels`` is a
    file of any format (``data.labels.formats``); a single mask is of the frame ``at``, by default
    the first of the range, and backward the last. ``corrections`` are label files of other frames,
    by their number in the video; labels are carried with at most ``size`` pixels on the short side
    and come back at the video's own size, in the formats ``kinds``. What the user gave for a frame
    is written as it was given. ``overlay`` is a video to draw, labels over frames.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    encoder = calibration.load(weights, calibrate, reading, device)
    scale = scale_of(video, size)
    info = replace(formats.video_of(video), num_frames=videos.length(video))
    with FrameProgress() as progress:
        if stop is None and direction == "backward":
            stop = videos.count(video)
        end = info.num_frames if stop is None else stop
        last = end - 1 if end is not None and direction == "backward" else start
        within = None if end is None or end <= start else range(start, end)
        given = prompts.read(labels, last if at is None else at, corrections, info, within)
        kinds = check_formats(kinds, are_points=given.are_points)
        if overlay is not None and direction == "backward" and not {"png", "csv"} & {*kinds}:
            raise UserError("--overlay of --backward", expected="--format png, or csv for points")
        references = {
            number: one.reference(scale, f"labels of frame {number}")
            for number, one in given.by_frame.items()
        }
        _warn_of_unlabeled(references, direction, start, end)
        source = _VideoFrames(video, min(scale.carried), keeps=overlay is not None)
        progress.begin(_total(references, direction, start, end))
        predictions = bidirectional.propagate_references(
            source,
            references,
            encoder,
            config,
            direction=direction,
            start=start,
            stop=stop,
            adaptation=adaptation,
            tick=progress.tick,
        )
        first = next(predictions)  # refuses what cannot be used, before older results are removed
        remove_stale(out, kept={path.resolve() for path in (labels, *corrections.values())})
        found = (
            (prediction.frame, _put_on(given, prediction.frame, scale.grow(prediction)))
            for prediction in _watched(chain([first], predictions), references)
        )
        writer = LabelWriter(out, kinds, given, info)
        written = writer.write(found)
        if overlay is None or direction == "backward":
            deque(written, maxlen=0)
        else:
            painted = (_paint(source.shown.popleft(), one) for one in written)
            videos.write(overlay, painted, fps=info.fps)
    if overlay is not None and direction == "backward":
        draw_overlay(video, out, overlay, start, stop)
    return writer.summary()


@dataclass
class _VideoFrames:
    """A video file or folder, with ``side`` pixels on the short side of its frames.

    Where it ``keeps`` frames, those read forward are left in ``shown`` at their own size.
    """

    path: Path
    side: int
    keeps: bool
    shown: deque[Frame] = field(default_factory=deque)

    def forward(self, start: int, stop: int | None) -> Iterator[Frame]:
        """The frames from ``start`` on, up to ``stop`` (not included) or the end."""
        if start == stop:
            return
        if not self.keeps:
            yield from videos.stream(self.path, size=self.side, start=start, stop=stop)
            return
        for own, small in videos.stream_both(self.path, self.side, start, stop):
            self.shown.append(own)
            yield small

    def backward(self, start: int, stop: int) -> Iterator[Frame]:
        """The frames from ``stop - 1`` down to ``start``."""
        return videos.stream_backward(self.path, stop, self.side, start)


def _put_on(given: prompts.Prompts, frame: int, found: Prompt) -> Prompt:
    return given.by_frame[frame].put_on(found) if frame in given.by_frame else found


def _total(
    references: Mapping[int, Reference], direction: Direction, start: int, end: int | None
) -> int | None:
    """Frames to pass through; None where nobody can tell."""
    if direction == "backward":
        return max(references) - start + 1
    back = max(references) - start + 1 if direction == "both" else 0
    return None if end is None else back + end - min(references)


def _warn_of_unlabeled(
    references: Mapping[int, Reference], direction: Direction, start: int, end: int | None
) -> None:
    first, last = min(references), max(references)
    fix = "get none; --direction both labels them too"
    if direction == "forward" and first > start:
        text = f"frames {start} to {first - 1} come before the first labels and {fix}"
        warnings.warn(text, stacklevel=3)
    if direction == "backward" and end is not None and last < end - 1:
        text = f"frames {last + 1} to {end - 1} come after the last labels and {fix}"
        warnings.warn(text, stacklevel=3)


def _watched(
    predictions: Iterator[Prediction], references: Mapping[int, Reference]
) -> Iterator[Prediction]:
    """The predictions; says which objects left no trace on the cells that labels are carried on."""
    lost: set[int] = set()
    for prediction in predictions:
        reference = references.get(prediction.frame)
        if reference is not None and isinstance(reference.labels, Tensor):
            traces = prediction.maps.flatten(0, 1).any(dim=0).tolist()[1:]
            present = set(reference.labels.unique().tolist()) - {0}
            new = [
                label
                for label, trace in zip(prediction.ids, traces, strict=True)
                if label in present and not trace and label not in lost
            ]
            if new:
                lost |= {*new}
                names = ", ".join(map(str, new[:_MANY_NAMES]))
                names += ", ..." if new[_MANY_NAMES:] else ""
                text = f"too small or thin to be carried, and lost: object {names}"
                warnings.warn(f"{text}; enlarge frames: --zoom 2", stacklevel=4)
        yield prediction


def draw_overlay(
    video: Path, labeled: Path, overlay: Path, start: int = 0, stop: int | None = None
) -> None:
    """Write the video with the masks or keypoints of the folder ``labeled`` drawn over it.

    Raises:
        UserError: the video or a label cannot be read, or the overlay cannot be written.
    """
    points = labeled / POINTS
    by_frame: dict[int, list[keypoints.Keypoint]] | None = None
    if points.exists():
        by_frame = defaultdict(list)
        for point in keypoints.read(points):
            by_frame[point.frame].append(point)

    def labels_of(number: int) -> Prompt:
        return masks.read(labeled / f"{number:05}.png") if by_frame is None else by_frame[number]

    shown = videos.stream(video, start=start, stop=stop)
    frames = (_paint(frame, labels_of(n)) for n, frame in enumerate(shown, start))
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

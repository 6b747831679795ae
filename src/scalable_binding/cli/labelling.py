"""A video file and the labels of one frame in, label files and an overlay out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import UInt8
from rich.console import Console
from rich.progress import track
from torch import Tensor

from scalable_binding import plots
from scalable_binding.cli.crw import Adaptation, Propagation
from scalable_binding.crw import inference, model
from scalable_binding.data import keypoints, masks, videos

_KEYPOINT_FORMATS = (".csv", ".json")
_CHUNK = 32


def label_video(
    video: Path,
    labels: Path,
    out: Path,
    *,
    weights: str,
    propagation: Propagation,
    adaptation: Adaptation,
    backward: bool,
) -> None:
    """Write the labels of every frame to the folder ``out``, each as soon as it is known.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    encoder = model.load(weights)
    of_points = labels.suffix.lower() in _KEYPOINT_FORMATS
    prompt = keypoints.read(labels) if of_points else masks.read(labels)
    count = count_frames(video)
    for stale in (*out.glob("[0-9]" * 5 + ".png"), out / "keypoints.csv"):
        stale.unlink(missing_ok=True)
    predictions = inference.propagate(
        reversed_frames(video, count) if backward else videos.stream(video),
        prompt,
        encoder,
        inference.PropagationConfig(
            context=propagation.context,
            neighbours=propagation.neighbours,
            radius=propagation.radius,
            temperature=propagation.temperature,
        ),
        adaptation=inference.AdaptationConfig(
            steps=adaptation.adapt_steps,
            window=adaptation.adapt_window,
            interval=adaptation.adapt_interval,
        )
        if adaptation.adapt
        else None,
    )
    points = []
    progress = track(predictions, "labelling", count, console=Console(stderr=True))
    try:
        for number, prediction in enumerate(progress):
            frame = count - 1 - number if backward else number
            if of_points:
                points += prediction.keypoints
            else:
                masks.write(out / f"{frame:05}.png", prediction.labels)
    finally:
        if of_points:
            keypoints.write(out / "keypoints.csv", sorted(points, key=lambda point: point.frame))


def draw_overlay(video: Path, labelled: Path, overlay: Path) -> None:
    """Write the video with the masks of the folder ``labelled`` drawn over its frames.

    Raises:
        UserError: the video or a mask cannot be read, or the overlay cannot be written.
    """
    frames = (
        plots.overlay(frame, masks.read(labelled / f"{number:05}.png"))
        for number, frame in enumerate(videos.stream(video))
    )
    videos.write(overlay, frames, fps=videos.probe(video).fps)


def count_frames(video: Path) -> int:
    """The number of frames that can be decoded, which a header may not tell, or tell wrongly."""
    return sum(1 for _ in videos.stream(video))


def reversed_frames(video: Path, count: int) -> Iterator[UInt8[Tensor, "3 h w"]]:
    """The frames of a video from the last to the first, a few of them in memory at a time."""
    for stop in range(count, 0, -_CHUNK):
        yield from reversed(list(videos.stream(video, start=max(0, stop - _CHUNK), stop=stop)))

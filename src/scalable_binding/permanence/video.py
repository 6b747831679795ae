"""Box tracking from files to files: a video and its first boxes in, boxes and an overlay out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from scalable_binding.data.frames import videos
from scalable_binding.data.labels import boxes as box_files
from scalable_binding.data.labels.boxes import Box
from scalable_binding.data.synthetic.games import hiding
from scalable_binding.data.synthetic.hiding import hide
from scalable_binding.data.synthetic.plays import Kind
from scalable_binding.engine.devices import choose_device
from scalable_binding.errors import UserError
from scalable_binding.permanence import evaluate as evaluation
from scalable_binding.permanence.inference import load, track
from scalable_binding.permanence.presets import TrackingConfig
from scalable_binding.plots import boxes as drawn

Frame = UInt8[Tensor, "3 h w"]

BOXES, OVERLAY = "boxes.csv", "overlay.mp4"

_FPS = 8.0
_SHOWN = 384
"""Pixels that the shorter side of an overlay has at least."""


def follow(
    video: Path,
    boxes: Path,
    out: Path,
    *,
    weights: str,
    config: TrackingConfig | None,
    device: str = "cpu",
) -> str:
    """What was written to the folder ``out`` of the objects boxed in a video.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    given = _by_frame(box_files.read(boxes))
    count = videos.count(video)
    if max(given) >= count:
        expected = f"a frame from 0 to {count - 1} of the video"
        raise UserError(f"boxes of frame {max(given)}", expected=expected)
    network = load(weights, device=choose_device(device))
    first = given.pop(0, [])
    found = track(videos.stream(video), first, network, config, corrections=given)
    return _write(out, videos.stream(video), _watched(found, count), videos.probe(video).fps)


def play(
    kind: Kind,
    seed: int,
    out: Path,
    *,
    weights: str,
    config: TrackingConfig | None,
    device: str = "cpu",
) -> str:
    """What was written to the folder ``out`` of a synthetic game of the size trained on.

    Raises:
        UserError: weights that cannot be used, or the output cannot be written.
    """
    network = load(weights, device=choose_device(device))
    game = hide(hiding(size=network.side, num_frames=16, held_out=True), seed, kind)
    first = [
        Box(0, number, *corners)
        for number, corners in enumerate(game.boxes[0].tolist(), start=1)
        if bool(game.visible[0, number - 1])
    ]
    found = track(game.frames, first, network, config)
    return _write(out, game.frames, _watched(found, len(game.frames)), _FPS)


def score(
    root: Path | None,
    *,
    weights: str,
    memoryless: str | None,
    num: int,
    config: TrackingConfig | None,
) -> dict[str, Any]:
    """Scores of a tracker and of the baselines; of LA-CATER where there is a root.

    Raises:
        UserError: weights or data that cannot be used.
    """
    network = load(weights)
    cases = (
        evaluation.synthetic_cases(num, size=network.side)
        if root is None
        else islice(evaluation.la_cater_cases(root), num)
    )
    with Progress(console=Console(stderr=True)) as progress:
        watched = progress.track(cases, total=None, description="scoring")
        return evaluation.evaluate(weights, watched, config, memoryless=memoryless)


def _by_frame(boxes: Iterable[Box]) -> dict[int, list[Box]]:
    found: dict[int, list[Box]] = {}
    for box in boxes:
        found.setdefault(box.frame, []).append(box)
    return found


def _watched(found: Iterable[list[Box]], count: int) -> Iterator[list[Box]]:
    with Progress(console=Console(stderr=True)) as progress:
        yield from progress.track(found, count, description="tracking")


def _write(out: Path, frames: Iterable[Frame], found: Iterable[list[Box]], fps: float) -> str:
    """Write boxes and overlay; what was written."""
    kept: list[Box] = []

    def drawing() -> Iterator[Frame]:
        for frame, boxes in zip(frames, found, strict=True):
            kept.extend(boxes)
            yield _draw(frame, boxes)

    try:
        videos.write(out / OVERLAY, drawing(), fps=fps)
    finally:
        if kept:
            box_files.write(out / BOXES, kept)
    hidden = sum(not box.visible for box in kept)
    return f"{len(kept)} boxes, {hidden} of them of hidden objects: {out / BOXES}"


def _draw(frame: Frame, boxes: Sequence[Box]) -> UInt8[Tensor, "3 height width"]:
    """The frame, small ones enlarged, with its boxes."""
    factor = -(-_SHOWN // min(frame.shape[1:])) if min(frame.shape[1:]) < _SHOWN // 2 else 1
    large = functional.interpolate(frame[None], scale_factor=factor, mode="nearest")[0]
    corners = (torch.tensor([box.corners for box in boxes]).view(-1, 4) + 0.5) * factor - 0.5
    return drawn.draw(
        large,
        corners,
        torch.tensor([box.visible for box in boxes], dtype=torch.bool),
        torch.tensor([box.id for box in boxes], dtype=torch.int64),
        torch.tensor([box.confidence for box in boxes]),
    )

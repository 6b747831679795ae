"""A video in; how it may go on out, several times and side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from scalable_binding.data.frames import videos
from scalable_binding.data.results import remove_results
from scalable_binding.errors import UserError
from scalable_binding.plots import grids
from scalable_binding.rin import prediction
from scalable_binding.rin.inference import Pretrained, SamplingConfig
from scalable_binding.rin.sample_files import SampleFile, write_video
from scalable_binding.rin.sample_folders import colored

Frames = UInt8[Tensor, "t 3 h w"]

_SMALLEST = 96
_BORDER = (40, 170, 90)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A video to go on from: the frames that are given, those that come after, and the rate."""

    path: Path
    frames: Frames
    truth: UInt8[Tensor, "s 3 h w"]
    num_frames: int
    fps: float


def read_video(
    pretrained: Pretrained,
    path: Path,
    context: int | None,
    num_frames: int | None,
    *,
    fps: float | None,
    resize: bool,
) -> Given:
    """The first frames of a video, to go on from, and what really comes then, if there is more.

    Frames are taken at ``fps`` a second; if that is None at the network's own rate, and if it has
    none all of them. Of ``num_frames`` None is one window of the network, and 0 reads no truth.

    Raises:
        UserError: no video, too short, of another size, or fewer frames than the network needs.
    """
    model = pretrained.model
    if model.context == 0:
        raise UserError(
            "this network is given no frames", expected="one that predicts, such as moving-digits"
        )
    needed = model.context if context is None else context
    if needed < model.context:
        expected = f"at least {model.context}, as the network was trained"
        raise UserError("--context", expected=expected, got=str(needed))
    total = model.size[0] - model.context if num_frames is None else num_frames
    rate = fps or pretrained.fps
    taken = []
    for frame in videos.stream(path, fps=rate, stop=needed + total):
        if resize:
            taken.append(prediction.crop_and_resize(frame[None], *model.size[1:])[0])
        else:
            prediction.check_size(pretrained, frame)
            taken.append(frame)
    if len(taken) < needed:
        pace = "" if rate is None else f" at {rate:g} a second"
        expected = f"at least {needed} frames{pace}"
        raise UserError(f"video {path}", expected=expected, got=str(len(taken)))
    frames = torch.stack(taken)
    if model.channels == 1:
        gray = frames.float().mean(dim=1, keepdim=True).round().byte()
        frames = gray.expand(frames.shape)
    return Given(
        path=path,
        frames=frames[:needed],
        truth=frames[needed:],
        num_frames=total,
        fps=rate or videos.probe(path).fps,
    )


def write_futures(
    pretrained: Pretrained,
    given: Given,
    out: Path,
    num: int,
    config: SamplingConfig,
    video_format: str,
) -> dict[str, Any]:
    """Write ``num`` futures of a video to the folder ``out``, each alone and side by side.

    Raises:
        UserError: as :func:`scalable_binding.rin.prediction.predict`, or the disk refuses.
    """
    prediction.open_context(pretrained, given.frames)  # refuses what it must before the bar shows
    remove_results(out, "future-[0-9]*.*", "futures.*", given=[given.path])
    window = pretrained.model.size[0] - pretrained.model.context
    rounds = math.ceil(given.num_frames / window)
    with Progress(console=Console(stderr=True)) as progress:
        batches = math.ceil(num / config.batch_size)
        task = progress.add_task("predicting", total=rounds * batches * config.steps)
        windows = prediction.predict(
            pretrained,
            given.frames,
            num,
            config,
            num_frames=given.num_frames,
            watch=lambda done, state: progress.advance(task),
        )
        futures = torch.cat(list(windows), dim=2)
    with SampleFile(out / "futures.npz", num, tuple(futures.shape[1:])) as together:
        together.add(futures, torch.full((num,), -1))
    drawn = [colored(future) for future in futures]
    for number, future in enumerate(drawn, start=1):
        whole = torch.cat([given.frames, future])
        write_video(out / f"future-{number}.{video_format}", whole, fps=given.fps)
    panels = _panels(given, drawn)
    write_video(out / f"futures.{video_format}", panels, fps=given.fps)
    return {"futures": num, "frames": given.num_frames, **_errors(given, drawn)}


def _panels(given: Given, futures: Sequence[Frames]) -> UInt8[Tensor, "frames 3 height width"]:
    """Truth and futures side by side; given frames have a green border."""
    missing = given.num_frames - len(given.truth)
    gray = torch.full((missing, *given.frames.shape[1:]), 128, dtype=torch.uint8)
    names = ["truth", *(f"future {number}" for number in range(1, len(futures) + 1))]
    known = grids.enlarge(given.frames, _SMALLEST).clone()
    border = torch.tensor(_BORDER, dtype=torch.uint8).view(3, 1)
    for edge in (known[..., :2, :], known[..., -2:, :], known[..., :2], known[..., -2:]):
        edge.copy_(border.view(3, 1, 1).expand(edge.shape))
    panels = []
    for future in (torch.cat([given.truth, gray]), *futures):
        panels.append(torch.cat([known, grids.enlarge(future, _SMALLEST)]))
    return grids.beside(panels, names)


def _errors(given: Given, futures: Sequence[Frames]) -> dict[str, Any]:
    """Mean squared errors against what really came, pictures in [0, 1]; nothing if unknown."""
    count = min(len(given.truth), given.num_frames)
    if count == 0:
        return {}
    truth = given.truth[:count].float().mean(1) / 255
    copied = given.frames[-1].float().mean(0) / 255
    errors = [float(((f[:count].float().mean(1) / 255 - truth) ** 2).mean()) for f in futures]
    return {
        "squared error": errors,
        "squared error of copying the last frame": float(((copied - truth) ** 2).mean()),
    }

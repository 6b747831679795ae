"""Where a network reads while it generates: pictures, curves and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from rich.console import Console
from rich.progress import Progress

from scalable_binding.data.frames import images
from scalable_binding.data.results import remove_results
from scalable_binding.errors import UserError
from scalable_binding.plots import attention as drawn_attention
from scalable_binding.plots import curves
from scalable_binding.rin import attention, prediction
from scalable_binding.rin.futures import Given
from scalable_binding.rin.inference import Classes, Pretrained, SamplingConfig
from scalable_binding.rin.sample_files import write_video
from scalable_binding.rin.sample_folders import colored

_FPS = 8


def write_reading(
    pretrained: Pretrained,
    out: Path,
    num: int,
    config: SamplingConfig,
    classes: Classes | None,
    given: Given | None,
    video_format: str,
) -> dict[str, Any]:
    """Draw where the network reads while it generates, and say it in numbers.

    Raises:
        UserError: as :func:`scalable_binding.rin.attention.read`; a network that predicts without a
            video.
    """
    context = None
    if given is not None:
        opened = prediction.open_context(pretrained, given.frames)
        context = opened.expand(num, *opened.shape)
    elif pretrained.model.context:
        raise UserError("this network goes on from given frames", fix="give a VIDEO")
    with Progress(console=Console(stderr=True)) as progress:
        batches = math.ceil(num / config.batch_size)
        task = progress.add_task("reading", total=batches * config.steps)
        reading = attention.read(
            pretrained,
            num,
            config,
            classes=classes,
            context=context,
            watch=lambda first, state: progress.advance(task),
        )
    inputs = [] if given is None else [given.path]
    remove_results(out, "sample-[0-9]*.*", "curves.png", given=inputs)
    grid = pretrained.model.grid
    for number in range(num):
        draw = _draw_video if pretrained.is_video else _draw_image
        draw(out / f"sample-{number:03}", reading, number, grid, video_format)
    curves.save(out / "curves.png", _panels(reading))
    return _results(pretrained, reading)


def _draw_image(
    path: Path, reading: attention.Reading, number: int, grid: Sequence[int], video_format: str
) -> None:
    """A column for each step that is shown, a row for each block (Fig. 2.6)."""
    maps = rearrange(reading.maps[list(reading.shown), number], "s k (h w) -> s k h w", h=grid[0])
    labels = [f"t = {reading.times[step]:.2f}" for step in reading.shown]
    pictures = torch.stack([colored(seen) for seen in reading.seen[:, number]])
    drawn = drawn_attention.draw(pictures, maps, labels=labels)
    images.write(path.with_suffix(".png"), drawn)


def _draw_video(
    path: Path, reading: attention.Reading, number: int, grid: Sequence[int], video_format: str
) -> None:
    """The last step: a column for each token in time, and the same as a video (Fig. 2.11)."""
    maps = rearrange(reading.maps[-1, number], "k (t h w) -> t k h w", t=grid[0], h=grid[1])
    frames = colored(reading.samples[number])
    every = len(frames) // grid[0]
    labels = [f"frame {number}" for number in range(0, len(frames), every)]
    drawn = drawn_attention.draw(frames[::every], maps, labels=labels)
    images.write(path.with_suffix(".png"), drawn)
    moving = drawn_attention.draw_video(frames, rearrange(maps, "t k h w -> k t h w"))
    write_video(path.with_suffix(f".{video_format}"), moving, fps=_FPS)


def _panels(reading: attention.Reading) -> list[curves.Panel]:
    panels = []
    figures = {"entropy of reading": reading.entropy, "reading of regions": reading.concentration}
    for title, values in figures.items():
        lines = [
            curves.Curve(label=f"block {block}", x=list(reading.times), y=column.tolist())
            for block, column in enumerate(values.unbind(1), start=1)
        ]
        panels.append(
            curves.Panel(
                curves=lines, title=title, x_label="time (1 is noise)", levels={"uniform": 1.0}
            )
        )
    return panels


def _results(pretrained: Pretrained, reading: attention.Reading) -> dict[str, Any]:
    figures = {"entropy": reading.entropy, "concentration": reading.concentration}
    return {
        "regions": "tokens that change" if pretrained.is_video else "tokens with detail",
        "share of tokens": float(reading.regions.float().mean()),
        "times": list(reading.times),
        **{
            name: {
                f"block {block}": [_number(value) for value in column.tolist()]
                for block, column in enumerate(values.unbind(1), start=1)
            }
            for name, values in figures.items()
        },
        "last step": {name: _number(float(values[-1, -1])) for name, values in figures.items()},
    }


def _number(value: float) -> float | None:
    """The value as JSON can hold it."""
    return value if math.isfinite(value) else None

"""A trained network in; samples out: single files, a grid, an .npz, the reverse process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from scalable_binding.data.frames import images
from scalable_binding.data.results import NUMBER, remove_results
from scalable_binding.diffusion.samplers import State
from scalable_binding.engine.devices import choose_device
from scalable_binding.errors import UserError
from scalable_binding.plots import grids
from scalable_binding.rin import inference
from scalable_binding.rin.inference import Classes, Pretrained, SamplingConfig
from scalable_binding.rin.sample_files import SampleFile, write_video

GRID = 64
"""Samples in the grid at most."""

SHOWN = 16
"""Samples in the video of the reverse process."""

_SMALLEST, _LARGEST = 48, 128
_PROCESS_FRAMES = 72
_PROCESS_FPS = 12


def open_network(run: str, device: str) -> Pretrained:
    """The network of a run on a device.

    Raises:
        UserError: as :func:`scalable_binding.rin.inference.load`, no such device, or a network of
            what is no picture.
    """
    pretrained = inference.load(run, device=choose_device(device))
    model = pretrained.model
    if len(model.size) == 1 or model.channels not in (1, 3):
        raise UserError(
            f"run {run}",
            expected="a network of images or videos, gray or in color",
            got=f"{model.channels} channels of {' x '.join(map(str, model.size))}",
            fix="sample it from Python, with rin.inference.sample",
        )
    return pretrained


def write_samples(
    pretrained: Pretrained,
    out: Path,
    num: int,
    config: SamplingConfig,
    classes: Classes | None,
    video_format: str,
) -> dict[str, Any]:
    """Write ``num`` samples to the folder ``out``, each as soon as it is finished.

    Raises:
        UserError: the network cannot be sampled in this way, or the disk refuses.
    """
    if pretrained.model.context:
        raise UserError("this network goes on from given frames", fix="use 'sbind rin predict'")
    inference.sample(pretrained, 1, config, classes=classes)  # refuses what it must before writing
    singles = out / ("videos" if pretrained.is_video else "images")
    _clear(singles, out)
    process = _Process(pretrained, config.steps)
    first: list[Tensor] = []
    size = pretrained.generated_size
    with (
        Progress(console=Console(stderr=True)) as progress,
        SampleFile(out / "samples.npz", num, size) as together,
    ):
        task = progress.add_task("sampling", total=num * config.steps)

        def watch(start: int, state: State) -> None:
            done = start * config.steps + (state.step + 1) * len(state.x0)
            progress.update(task, completed=done)
            process.take(start, state)

        for batch in inference.generate(pretrained, num, config, classes=classes, watch=watch):
            together.add(batch.samples, batch.classes)
            for number, one in enumerate(batch.samples, start=batch.first):
                _write_single(singles / f"{number:05}", colored(one), pretrained, video_format)
            first.extend(batch.samples[: GRID - len(first)])
    _write_grid(out, torch.stack(first), pretrained, video_format)
    write_video(out / f"reverse.{video_format}", process.frames(), fps=_PROCESS_FPS)
    return {"samples": num, "steps": config.steps, "sampler": config.sampler, "seed": config.seed}


def _clear(singles: Path, out: Path) -> None:
    """Remove what an earlier call left."""
    remove_results(out, "samples.npz", "grid.*", "reverse.*", f"{singles.name}/{NUMBER}.*")
    singles.mkdir(exist_ok=True)


def _write_single(path: Path, picture: Tensor, pretrained: Pretrained, video_format: str) -> None:
    if pretrained.is_video:
        write_video(path.with_suffix(f".{video_format}"), picture, fps=frame_rate(pretrained))
    else:
        images.write(path.with_suffix(".png"), picture)


def _write_grid(
    out: Path, samples: UInt8[Tensor, "n c *size"], pretrained: Pretrained, video_format: str
) -> None:
    large = grids.enlarge(torch.stack([colored(one) for one in samples]), _SMALLEST)
    if not pretrained.is_video:
        images.write(out / "grid.png", grids.grid(large))
        return
    moving = torch.stack([grids.grid(frame) for frame in large.unbind(1)])
    write_video(out / f"grid.{video_format}", moving, fps=frame_rate(pretrained))


class _Process:
    """The reverse process of the first few samples, at some of the steps."""

    def __init__(self, pretrained: Pretrained, steps: int) -> None:
        self._pretrained = pretrained
        self._steps = {
            round(place)
            for place in torch.linspace(0, steps - 1, min(steps, _PROCESS_FRAMES)).tolist()
        }
        self._panels: list[Tensor] = []

    def take(self, start: int, state: State) -> None:
        """Remember the noisy and the seen signals of a state, if it is one of the first batch."""
        if start > 0:
            return
        if state.step == 0:
            self._panels = []  # the batch may have begun again, with fewer samples
        if state.step in self._steps:
            pair = torch.stack([self._panel(state.x), self._panel(state.x0)])
            self._panels.append(pair)

    def frames(self) -> Iterator[UInt8[Tensor, "3 h w"]]:
        """Noisy signals beside what the network sees in them; the end stays for a second."""
        for pair in [*self._panels, *self._panels[-1:] * _PROCESS_FPS]:
            yield grids.table(pair[None], columns=["noisy", "seen in it"])

    def _panel(self, x: Float[Tensor, "b c *size"]) -> UInt8[Tensor, "3 h w"]:
        samples = inference.pictures(self._pretrained, x[:SHOWN])
        if self._pretrained.is_video:
            samples = samples[:, :, -1]
        pictures = grids.shrink(torch.stack([colored(s) for s in samples]), _LARGEST)
        return grids.grid(grids.enlarge(pictures, _SMALLEST))


def colored(sample: UInt8[Tensor, "c *size"]) -> UInt8[Tensor, "*frames 3 h w"]:
    """A picture ``(3 h w)``, or the frames ``(t 3 h w)`` of a video, gray or not."""
    if sample.ndim == 4:
        sample = rearrange(sample, "c t h w -> t c h w")
    return sample.expand(*sample.shape[:-3], 3, *sample.shape[-2:])


def frame_rate(pretrained: Pretrained) -> float:
    """Frames a second at which samples are written."""
    return pretrained.fps or 8.0

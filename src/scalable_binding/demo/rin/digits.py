"""Digits of every class sampled from noise, and the read attention on the way."""

from __future__ import annotations

from pathlib import Path

import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.datasets.digits import load
from scalable_binding.data.frames import images, videos
from scalable_binding.demo.context import Context
from scalable_binding.diffusion.samplers import State
from scalable_binding.plots import attention as drawn
from scalable_binding.plots import grids
from scalable_binding.report import Section
from scalable_binding.rin import attention, inference
from scalable_binding.rin.attention import Reading
from scalable_binding.rin.inference import Pretrained, SamplingConfig

_SIDE = 48
_FPS = 15
_HOLD = 20
"""Frames for which the finished digits stay."""


def show(context: Context, pretrained: Pretrained) -> Section:
    """A grid of samples, the video of how they came about, and maps of the read attention."""
    context.say("Digits sampled from noise")
    settings = context.config.rin
    classes = range(pretrained.model.num_classes)
    num = len(classes) * settings.num_rows
    sampling = SamplingConfig(steps=settings.steps, seed=context.config.seed)
    process: list[Tensor] = []

    def watch(first: int, state: State) -> None:
        process.append(_grid(inference.pictures(pretrained, state.x0), len(classes)))

    reading = attention.read(pretrained, num, sampling, classes=classes, watch=watch)
    picture, clip, maps = (
        context.out / name for name in ("digits.png", "digits.mp4", "reading.png")
    )
    images.write(picture, process[-1])
    videos.write(clip, [*process, *process[-1:] * _HOLD], fps=_FPS)
    _draw_maps(maps, pretrained, reading, number=min(3, num - 1))
    nearest = _nearest(reading.samples)
    first, last = (float(reading.concentration[step, -1]) for step in (0, -1))
    evenness = [float(reading.entropy[step, -1]) for step in (0, -1)]
    return Section(
        name="digits",
        title="Digits sampled from noise",
        blocks=[
            report.paragraph(
                f"One column per class. Each digit was sampled from noise and its class in "
                f"{settings.steps} steps. The samples are not copies: the median Euclidean "
                f"distance to the nearest training digit is {nearest['samples']:.2f} (pixels in "
                f"[0, 1]), and {nearest['held-out digits']:.2f} for held-out digits."
            ),
            report.columns(
                [
                    report.video(clip, "The denoised estimate, step by step."),
                    report.pictures([(picture, "The samples.")]),
                ]
            ),
            report.paragraph(
                "One sample at six steps (time 1 is pure noise): the denoised estimate, and how "
                "much the latents read from each patch in each block; light patches are read "
                f"most. In the last block, patches with detail get {first:.2f} times their uniform "
                f"share in the first step and {last:.2f} times in the last step."
            ),
            report.pictures([(maps, "Read attention, averaged over latents.")], wide=True),
        ],
        scores={
            "concentration": {"first step": first, "last step": last},
            "entropy": dict(zip(("first step", "last step"), evenness, strict=True)),
            "distance to training": nearest,
        },
    )


def _nearest(samples: UInt8[Tensor, "b c h w"]) -> dict[str, float]:
    """How far the nearest training digit is from samples, and from digits kept from training."""
    known = load("train")[0]
    found = {}
    for name, pictures in (("samples", samples), ("held-out digits", load("held_out")[0])):
        distances = torch.cdist(pictures.flatten(1) / 255, known.flatten(1) / 255)
        found[name] = float(distances.amin(dim=1).median())
    return found


def _grid(samples: UInt8[Tensor, "b c h w"], columns: int) -> UInt8[Tensor, "3 height width"]:
    return grids.grid(grids.enlarge(_colored(samples), _SIDE), columns=columns)


def _draw_maps(path: Path, pretrained: Pretrained, reading: Reading, *, number: int) -> None:
    chosen = reading.maps[list(reading.shown), number]
    maps = rearrange(chosen, "s k (h w) -> s k h w", h=pretrained.model.grid[0])
    labels = [f"t = {reading.times[step]:.2f}" for step in reading.shown]
    images.write(path, drawn.draw(_colored(reading.seen[:, number]), maps, labels=labels))


def _colored(samples: UInt8[Tensor, "b c h w"]) -> UInt8[Tensor, "b 3 h w"]:
    return samples if samples.shape[1] == 3 else repeat(samples, "b 1 h w -> b c h w", c=3)

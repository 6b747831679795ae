"""Several futures of a video of moving digits, and the read attention."""

from __future__ import annotations

import math

import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.datasets.moving_digits import MovingDigits, MovingDigitsConfig
from scalable_binding.data.frames import images, videos
from scalable_binding.demo.context import Context
from scalable_binding.plots import attention as drawn
from scalable_binding.plots import grids
from scalable_binding.report import Section
from scalable_binding.rin import attention, prediction
from scalable_binding.rin.inference import Pretrained, SamplingConfig

_SIDE = 128
_FPS = 6
_WINDOWS = 2


def show(context: Context, pretrained: Pretrained) -> Section:
    """Futures beside the truth, the read attention over one, and errors of pixels."""
    context.say("Video prediction")
    model, settings = pretrained.model, context.config.rin
    sampling = SamplingConfig(steps=settings.steps, seed=context.config.seed)
    length = _WINDOWS * (model.size[0] - model.context)
    truth = _draw_video(pretrained, model.context + length, context.config.seed)
    given, real = truth[: model.context], truth[model.context :]
    windows = prediction.predict(
        pretrained, given, settings.num_futures, sampling, num_frames=length
    )
    found = torch.cat(list(context.track(windows, "windows", _WINDOWS)), dim=2)
    futures = [_colored(one) for one in found]
    clip = context.out / "futures.mp4"
    panels = [torch.cat([given, one]) for one in (real, *futures)]
    names = ["truth", *(f"future {number}" for number in range(1, len(futures) + 1))]
    large = [grids.enlarge(panel, _SIDE) for panel in panels]
    videos.write(clip, grids.beside(large, names), fps=_FPS)
    reading = _read(context, pretrained, given, sampling)
    window = model.size[0] - model.context
    errors = [_error(one[:window], real[:window]) for one in futures]
    copied = _error(given[-1:].expand(window, -1, -1, -1), real[:window])
    share = float(reading.concentration[:, -1].mean())
    return Section(
        name="moving-digits",
        title="Video prediction",
        blocks=[
            report.paragraph(
                f"The network gets the first {model.context} frames of a held-out video and "
                f"generates the next {length}, {window} at a time. Each future starts from other "
                "noise: futures agree on what is certain and differ in what is not."
            ),
            report.video(clip, f"{model.context} given frames, then the truth and the futures."),
            report.paragraph(
                f"Mean squared error of the first {window} frames: "
                f"{sum(errors) / len(errors):.4f}; repeating the last given frame: {copied:.4f}."
            ),
            report.pictures(
                [(context.out / "reading_of_video.png", "Read attention in the last step.")],
                wide=True,
            ),
            report.paragraph(
                f"Over all steps, moving patches get {share:.2f} times their uniform share of the "
                "last block's read attention."
            ),
        ],
        scores={
            "squared error": sum(errors) / len(errors),
            "squared error of repeating a frame": copied,
            "concentration": share if math.isfinite(share) else None,
        },
    )


def _draw_video(pretrained: Pretrained, num_frames: int, seed: int) -> UInt8[Tensor, "t 3 h w"]:
    """A video of digits that were kept from training."""
    config = MovingDigitsConfig(num_frames=num_frames, size=pretrained.model.size[1])
    return _colored(MovingDigits(config, "held_out", seed=seed)[0]["video"])


def _read(
    context: Context,
    pretrained: Pretrained,
    given: UInt8[Tensor, "t 3 h w"],
    sampling: SamplingConfig,
) -> attention.Reading:
    """Draw where one future's frames are read, and return all that is known of it."""
    given_signal = prediction.open_context(pretrained, given)
    reading = attention.read(pretrained, 1, sampling, context=given_signal[None])
    grid = pretrained.model.grid
    maps = rearrange(reading.maps[-1, 0], "k (t h w) -> t k h w", t=grid[0], h=grid[1])
    frames = _colored(reading.samples[0])
    every = len(frames) // grid[0]
    labels = [f"frame {number}" for number in range(0, len(frames), every)]
    picture = drawn.draw(frames[::every], maps, labels=labels)
    images.write(context.out / "reading_of_video.png", picture)
    return reading


def _error(found: UInt8[Tensor, "t 3 h w"], truth: UInt8[Tensor, "t 3 h w"]) -> float:
    return float(((found.float() - truth.float()) / 255).square().mean())


def _colored(video: UInt8[Tensor, "c t h w"]) -> UInt8[Tensor, "t 3 h w"]:
    if video.shape[0] == 3:
        return rearrange(video, "c t h w -> t c h w")
    return repeat(video, "1 t h w -> t c h w", c=3)

"""Video prediction: sample futures of a video from its first frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.diffusion import targets
from scalable_binding.diffusion.samplers import State
from scalable_binding.engine import randomness
from scalable_binding.errors import UserError
from scalable_binding.rin import inference
from scalable_binding.rin.inference import Pretrained, SamplingConfig


def predict(
    pretrained: Pretrained,
    frames: UInt8[Tensor, "t 3 h w"],
    num: int,
    config: SamplingConfig | None = None,
    *,
    num_frames: int | None = None,
    watch: Callable[[int, State], object] | None = None,
) -> Iterator[UInt8[Tensor, "num c k h w"]]:
    """Sample ``num`` futures of a video, one window of frames at a time.

    Each window is generated after the network's number of context frames: those given first, then
    the last ones that were generated, and so on for as long as is asked.

    Args:
        pretrained: a network that predicts (its ``model.context`` is above 0).
        frames: RGB, at least as many as its context and of its size; the last ones count.
        num: futures, each with noise of its own.
        config: how to sample; the futures are sampled in batches of ``config.batch_size``.
        num_frames: how many to generate; None stops after one window.
        watch: is told how many frames were there before the window, and its state after each step.

    Raises:
        UserError: a network without context, or frames of another size or too few of them.

    Source: Thesis 2.3.1 (video).
    """
    config = config or SamplingConfig()
    model = pretrained.model
    recent = repeat(open_context(pretrained, frames), "c k h w -> n c k h w", n=num)
    if num < 1 or (num_frames is not None and num_frames < 1):
        raise UserError("futures and their frames", expected="at least 1", got="fewer")
    done = 0
    total = num_frames or model.size[0] - model.context
    while done < total:
        # Every window has noise of its own.
        seed = randomness.derive(config.seed, done) if done else config.seed
        fresh = _window(pretrained, recent, replace(config, seed=seed), done, watch)
        fresh = fresh[:, :, : total - done]
        yield inference.pictures(pretrained, fresh)
        recent = torch.cat([recent, fresh], dim=2)[:, :, -model.context :]
        done += fresh.shape[2]


def _window(
    pretrained: Pretrained,
    recent: Float[Tensor, "n c k h w"],
    config: SamplingConfig,
    done: int,
    watch: Callable[[int, State], object] | None,
) -> Float[Tensor, "n c t h w"]:
    """The frames after ``recent``, not clipped to bytes, so that nothing is lost on the way."""
    parts = []
    for first in range(0, len(recent), config.batch_size):
        part = recent[first : first + config.batch_size]
        state = None
        for state in inference.sample(pretrained, len(part), config, context=part, first=first):
            if watch is not None:
                watch(done, state)
        assert state is not None
        parts.append(state.x0.cpu())
    return torch.cat(parts)


def open_context(
    pretrained: Pretrained, frames: UInt8[Tensor, "t 3 h w"]
) -> Float[Tensor, "c k h w"]:
    """The last frames as the network takes them: in +-b, in gray if it knows no colors.

    Raises:
        UserError: as :func:`predict`.
    """
    model = pretrained.model
    if model.context == 0:
        raise UserError(
            "this network generates all frames",
            expected="one that was trained with model.context above 0 to predict",
        )
    if len(frames) < model.context:
        expected = f"at least {model.context} frames, the context of the network"
        raise UserError("video", expected=expected, got=str(len(frames)))
    check_size(pretrained, frames[0])
    images = rearrange(frames[-model.context :], "k c h w -> c k h w").float() / 255
    if model.channels == 1:
        images = images.mean(dim=0, keepdim=True)
    return targets.scale(images, pretrained.diffusion.scale)


def check_size(pretrained: Pretrained, frame: UInt8[Tensor, "3 h w"]) -> None:
    """Nothing, when a frame is as large as the network's.

    Raises:
        UserError: it is not.
    """
    height, width = pretrained.model.size[1:]
    if frame.shape[1:] != (height, width):
        raise UserError(
            "video",
            expected=f"{height} x {width} pixels, the size of the network",
            got=f"{frame.shape[1]} x {frame.shape[2]}",
            fix="resize it, or let --resize do it",
        )


def crop_and_resize(
    frames: UInt8[Tensor, "t 3 h w"], height: int, width: int
) -> UInt8[Tensor, "t 3 height width"]:
    """Center-crop frames to the aspect ratio of ``height`` x ``width``, and resize them."""
    scale = max(height / frames.shape[2], width / frames.shape[3])
    sides = [
        max(s, round(scale * old)) for s, old in zip((height, width), frames.shape[2:], strict=True)
    ]
    resized = functional.interpolate(frames.float(), sides, mode="bilinear", antialias=True)
    top, left = (sides[0] - height) // 2, (sides[1] - width) // 2
    return resized[:, :, top : top + height, left : left + width].round().clamp(0, 255).byte()

"""What a user does with a trained network: flow of two frames, of a video, and tracks of points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.flow.model import FINEST, FlowNet, Maps, Match
from scalable_binding.flow.model import load as load
from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.flow.presets import STRIDE
from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.walk.multiscale import home_probability

Frame = UInt8[Tensor, "3 h w"]

Frames = Iterable[UInt8[Tensor, "3 _ _"]]
"""Of one size, which the first to differ is told of as any other bad input."""

SMALLEST = 16
"""Sides of frames in pixels, at least."""

_LEAST_NODES = 4


@dataclass(frozen=True)
class Flow:
    """What moved where from one frame to another.

    Attributes:
        flow: displacement (x, y) of each pixel of the first frame, in pixels.
        hidden: pixels whose way there does not lead back: hidden in the second frame, or outside.
        confidence: in [0, 1], the share of the walkers from each pixel that come home, to within a
            node, after a step there and a step back.
    """

    flow: Float[Tensor, "2 h w"]
    hidden: Bool[Tensor, "h w"]
    confidence: Float[Tensor, "h w"]


def estimate(first: Frame, second: Frame, model: FlowNet) -> Flow:
    """What moved where from the first frame to the second.

    Args:
        first, second: uint8 RGB of the same size, at least 16 pixels a side.
        model: whatever ``flow.model.load`` gives.

    Raises:
        UserError: frames of different sizes, or too small.
    """
    return next(estimate_video([first, second], model))


def estimate_video(frames: Frames, model: FlowNet) -> Iterator[Flow]:
    """The flow from each frame to the next, one at a time and with two frames in memory.

    Args:
        frames: any iterable of uint8 RGB frames of one size, such as ``data.frames.videos.stream``.
        model: whatever ``flow.model.load`` gives.

    Raises:
        UserError: fewer than two frames, frames of different sizes, or too small.
    """
    for before, after, size in neighbors(frames, model):
        yield between(before, after, size, model)


def neighbors(
    frames: Frames, model: FlowNet
) -> Iterator[tuple[list[Maps], list[Maps], tuple[int, int]]]:
    """The features of each two frames that follow one another, and the frames' size.

    Raises:
        UserError: fewer than two frames, frames of different sizes, or too small.
    """
    size: tuple[int, int] | None = None
    before: list[Maps] | None = None
    count = 0
    for frame in frames:
        here = (frame.shape[-2], frame.shape[-1])
        size = size or _checked(here)
        if here != size:
            raise UserError(
                f"frame {count} differs in size from the first",
                expected=f"{size[0]} x {size[1]} pixels",
                got=f"{here[0]} x {here[1]}",
            )
        after = encode(frame, model)
        if before is not None:
            yield before, after, size
        before = after
        count += 1
    if count < 2:
        raise UserError("frames", expected="at least two to find a motion between", got=str(count))


@torch.no_grad()
def encode(frame: Frame, model: FlowNet) -> list[Maps]:
    """The features of a frame, its border repeated to whole nodes."""
    height, width = frame.shape[-2:]
    least = _LEAST_NODES * STRIDE
    right = max(-width % STRIDE, least - width)
    below = max(-height % STRIDE, least - height)
    colors = frame.to(model.device).unsqueeze(0).float() / 255
    padded = functional.pad(colors, (0, right, 0, below), mode="replicate")
    with _fast(model):
        return model.encoder(padded.contiguous(memory_format=torch.channels_last))


@torch.no_grad()
def between(
    first: Sequence[Maps], second: Sequence[Maps], size: tuple[int, int], model: FlowNet
) -> Flow:
    """The flow between two frames of a size, given the features of both."""
    with _fast(model):
        there, back = model.match(first, second), model.match(second, first)
    confidence = _confidence(there, back)
    height, width = size
    flow = there.flow[..., :height, :width]
    hidden = is_hidden(flow, back.flow[..., :height, :width])
    return Flow(flow[0].cpu(), hidden[0].cpu(), confidence[0, :height, :width].cpu())


def _confidence(there: Match, back: Match) -> Float[Tensor, "b h w"]:
    nodes = there.stages[-1].base.shape[-2:]
    home = home_probability(there.stages[-1].step, back.stages[-1].step)
    maps = rearrange(home, "b (h w) -> b 1 h w", h=nodes[0])
    return functional.interpolate(maps, scale_factor=FINEST, mode="bilinear")[:, 0].clamp(0, 1)


def _fast(model: FlowNet) -> torch.autocast:
    device = model.device.type
    return torch.autocast(device, torch.bfloat16, enabled=has_fast_bfloat16(device))


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < SMALLEST:
        raise UserError(
            "frames",
            expected=f"at least {SMALLEST} pixels a side",
            got=f"{size[0]} x {size[1]}",
        )
    return size

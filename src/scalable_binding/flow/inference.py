"""What a user does with a trained network: flow of two frames, of a video, and tracks of points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.flow.model import FlowNet, Maps, Match
from scalable_binding.flow.model import load as load
from scalable_binding.flow.occlusion import is_hidden
from scalable_binding.flow.presets import STRIDE
from scalable_binding.flow.refinement import brightness, refine_both_ways
from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.walk.multiscale import home_probability

Frame = UInt8[Tensor, "3 h w"]

Frames = Iterable[UInt8[Tensor, "3 _ _"]]
"""Of one size, which the first to differ is told of as any other bad input."""

SMALLEST = 16
"""Sides of frames in pixels, at least."""

_LEAST_NODES = 4

_SPARSE = 2
"""Confidence is computed for one of so many rows and columns of nodes: it is the costliest map."""


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


@dataclass(frozen=True)
class EncodedFrame:
    """A frame's features, the coarsest level first, and its brightness.

    Attributes:
        features: of the frame with its border repeated to whole nodes.
        brightness: in [0, 1], at the frame's own size.
    """

    features: list[Maps]
    brightness: Float[Tensor, "1 1 h w"]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frame, in pixels."""
        return self.brightness.shape[-2], self.brightness.shape[-1]


def estimate(first: Frame, second: Frame, model: FlowNet, *, refine: bool = True) -> Flow:
    """What moved where from the first frame to the second.

    Args:
        first, second: uint8 RGB of the same size, at least 16 pixels a side.
        model: whatever ``flow.model.load`` gives.
        refine: see :func:`estimate_video`.

    Raises:
        UserError: frames of different sizes, or too small.
    """
    return next(estimate_video([first, second], model, refine=refine))


def estimate_video(frames: Frames, model: FlowNet, *, refine: bool = True) -> Iterator[Flow]:
    """The flow from each frame to the next, one at a time and with two frames in memory.

    Args:
        frames: any iterable of uint8 RGB frames of one size, such as ``data.frames.videos.stream``.
        model: whatever ``flow.model.load`` gives.
        refine: end with least-squares steps on the brightness of the frames, and interpolate what
            is hidden (:mod:`scalable_binding.flow.refinement`); False is the walk alone.

    Raises:
        UserError: fewer than two frames, frames of different sizes, or too small.
    """
    for before, after in neighbors(frames, model):
        yield between(before, after, model, refine=refine)


def neighbors(frames: Frames, model: FlowNet) -> Iterator[tuple[EncodedFrame, EncodedFrame]]:
    """Each two encoded frames that follow one another.

    Raises:
        UserError: fewer than two frames, frames of different sizes, or too small.
    """
    size: tuple[int, int] | None = None
    before: EncodedFrame | None = None
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
            yield before, after
        before = after
        count += 1
    if count < 2:
        raise UserError("frames", expected="at least two to find a motion between", got=str(count))


@torch.no_grad()
def encode(frame: Frame, model: FlowNet) -> EncodedFrame:
    """The features of a frame, and its brightness."""
    height, width = frame.shape[-2:]
    least = _LEAST_NODES * STRIDE
    right = max(-width % STRIDE, least - width)
    below = max(-height % STRIDE, least - height)
    colors = frame.to(model.device).unsqueeze(0).float() / 255
    padded = functional.pad(colors, (0, right, 0, below), mode="replicate")
    with _fast(model):
        features = model.encoder(padded.contiguous(memory_format=torch.channels_last))
    return EncodedFrame(features, brightness(frame.to(model.device)))


@torch.no_grad()
def between(
    first: EncodedFrame, second: EncodedFrame, model: FlowNet, *, refine: bool = True
) -> Flow:
    """The flow between two encoded frames of one size."""
    with _fast(model):
        there = model.match(first.features, second.features)
        back = model.match(second.features, first.features)
    confidence = _confidence(there, back)
    height, width = first.size
    flow, flow_back = (match.flow[..., :height, :width] for match in (there, back))
    if refine:
        flow, hidden, _ = refine_both_ways(first.brightness, second.brightness, flow, flow_back)
    else:
        hidden = is_hidden(flow, flow_back)
    return Flow(flow[0].cpu(), hidden[0].cpu(), confidence[0, :height, :width].cpu())


def _confidence(there: Match, back: Match) -> Float[Tensor, "b h w"]:
    """Of every second row and column of nodes, between them interpolated."""
    height, width = there.stages[-1].base.shape[-2:]
    device = there.flow.device
    rows = torch.arange(0, height, _SPARSE, device=device)
    columns = torch.arange(0, width, _SPARSE, device=device)
    starts = (rows[:, None] * width + columns).flatten()
    home = home_probability(there.stages[-1].step, back.stages[-1].step, starts)
    maps = rearrange(home, "b (h w) -> b 1 h w", h=len(rows))
    return functional.interpolate(maps, there.flow.shape[-2:], mode="bilinear")[:, 0].clamp(0, 1)


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

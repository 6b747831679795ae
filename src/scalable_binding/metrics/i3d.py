"""I3D as the Fréchet video distance uses it, for weights that the user has.

Names of parameters are those of the port of DeepMind's network of Kinetics-400 that most public
code takes (files ``i3d_pretrained_400.pt`` and ``rgb_imagenet.pt``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.metrics.networks import Extracted, with_counters

SIDE = 224
"""Pixels to which the shorter side of a frame is resized; the middle of the longer one is kept."""

NUM_CLASSES = 400
LEAST_FRAMES = 9
"""So that two steps of time are left at the end, which are averaged."""

Triple = tuple[int, int, int]

MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Blocks, one after the other, with the channels of their convolutions."""

POOLED: dict[str, tuple[Triple, Triple]] = {
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}
"""Blocks before which maxima are taken: over what window, by what stride."""


class Unit(nn.Module):
    """A convolution over time and space with batch normalization and rectification.

    Args:
        before, after: channels.
        kernel: side of the kernel along all three axes.
        stride: along all three axes.
    """

    def __init__(self, before: int, after: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(before, after, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(after, eps=0.001)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t2 h2 w2"]:
        """The activations; sides are divided by the stride and rounded up."""
        padded = pad(x, self.conv3d.kernel_size, self.conv3d.stride)
        return functional.relu(self.bn(self.conv3d(padded)))


class Mixed(nn.Module):
    """Four branches side by side, the last of which pools; their outputs are joined.

    Args:
        before: channels of the input.
        widths: channels of b0, b1a, b1b, b2a, b2b and b3b.
    """

    def __init__(self, before: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.b0 = Unit(before, widths[0])
        self.b1a, self.b1b = Unit(before, widths[1]), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(before, widths[3]), Unit(widths[3], widths[4], 3)
        self.b3b = Unit(before, widths[5])
        self.width = widths[0] + widths[2] + widths[4] + widths[5]

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c2 t h w"]:
        """The joined outputs."""
        pooled = take_maxima(x, (3, 3, 3), (1, 1, 1))
        branches = self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)
        return torch.cat(branches, dim=1)


class I3D(nn.Module):
    """Videos to the logits of 400 classes, which are the features of the Fréchet video distance.

    Source: Carreira and Zisserman, 2017; Unterthiner et al., 2018 for its use.
    """

    channels, width, num_classes = 3, NUM_CLASSES, NUM_CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        channels = 192
        for name, widths in MIXED.items():
            block = Mixed(channels, widths)
            self.add_module(name, block)
            channels = block.width
        self.logits = nn.ModuleDict({"conv3d": nn.Conv3d(channels, NUM_CLASSES, 1)})

    def forward(self, videos: UInt8[Tensor, "b 3 t h w"]) -> Extracted:
        """Logits, twice, of videos of any size and of at least 9 frames.

        Raises:
            UserError: fewer frames.
        """
        if videos.shape[2] < LEAST_FRAMES:
            expected = f"videos of at least {LEAST_FRAMES} frames"
            raise UserError("features of I3D", expected=expected, got=str(videos.shape[2]))
        space = (1, 3, 3), (1, 2, 2)
        x = take_maxima(self.Conv3d_1a_7x7(resize(videos)), *space)
        x = take_maxima(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), *space)
        for name in MIXED:
            if name in POOLED:
                x = take_maxima(x, *POOLED[name])
            x = self.get_submodule(name)(x)
        averaged = functional.avg_pool3d(x, (2, 7, 7), stride=1)
        logits = self.logits["conv3d"](averaged).mean(dim=(2, 3, 4))
        return Extracted(logits, logits)

    @staticmethod
    def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a port's file under our names: counters added."""
        return with_counters(tensors)

    @staticmethod
    def is_named(tensors: Mapping[str, Tensor]) -> bool:
        """Whether a file's tensors are this network's, by the name of its first convolution."""
        return "Conv3d_1a_7x7.conv3d.weight" in tensors


def resize(videos: UInt8[Tensor, "b 3 t h w"]) -> Float[Tensor, "b 3 t side side"]:
    """Frames in [-1, 1]: linearly to 224 pixels along the shorter side, the middle of the other."""
    height, width = videos.shape[-2:]
    shorter = min(height, width)
    size = [-(-side * SIDE // shorter) for side in (height, width)]
    frames = rearrange(videos.float() / 127.5 - 1, "b c t h w -> (b t) c h w")
    frames = functional.interpolate(frames, size=size, mode="bilinear", align_corners=False)
    top, left = ((side - SIDE) // 2 for side in size)
    frames = frames[:, :, top : top + SIDE, left : left + SIDE]
    return rearrange(frames, "(b t) c h w -> b c t h w", b=len(videos))


def pad(x: Float[Tensor, "b c t h w"], kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Zeros around, as TensorFlow's "SAME" has them: if their number is odd, more at the end."""
    ends: list[int] = []
    for side, window, step in zip(x.shape[2:], kernel, stride, strict=True):
        missing = max(window - (side % step or step), 0)
        ends = [missing // 2, missing - missing // 2, *ends]
    return functional.pad(x, ends)


def take_maxima(x: Float[Tensor, "b c t h w"], kernel: Triple, stride: Triple) -> Tensor:
    """Maxima of windows; what lies outside counts as 0, which nothing rectified is below."""
    return functional.max_pool3d(pad(x, kernel, stride), kernel, stride)

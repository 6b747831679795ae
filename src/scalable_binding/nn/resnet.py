"""Residual networks with torchvision's parameter names and a feature map of chosen stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

PaddingMode = Literal["zeros", "reflect"]


class ReflectedConv2d(nn.Conv2d):
    """A convolution that reflects the border, in whatever number format its input has.

    Autocast would reflect in float32, and convert there and back in both passes.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """The convolution of the input with its border reflected."""
        rows, columns = self.kernel_size[0] // 2, self.kernel_size[1] // 2
        with torch.autocast(x.device.type, enabled=False):
            padded = functional.pad(x, (columns, columns, rows, rows), mode="reflect")
        return functional.conv2d(padded, self.weight, self.bias, self.stride)


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that drops pixels by its stride before it multiplies, not while.

    The result is the same. oneDNN's own way writes past its memory in the backward pass of
    float32 in channels-last order with up to eight channels (torch 2.13 on a CPU).
    """

    def __init__(self, width_in: int, width: int, stride: int, *, bias: bool = True) -> None:
        super().__init__(width_in, width, 1, stride, bias=bias)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """The convolution of every ``stride``-th pixel."""
        rows, columns = self.stride
        return functional.conv2d(x[..., ::rows, ::columns], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: ``relu(F(x) + shortcut(x))`` (He et al., 2016)."""

    def __init__(self, width_in: int, width: int, stride: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.conv1 = _convolution(width_in, width, 3, stride, padding_mode)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _convolution(width, width, 3, 1, padding_mode)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or width_in != width:
            self.downsample = nn.Sequential(
                PointwiseConv2d(width_in, width, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """The sum of two convolutions and a shortcut."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = torch.relu_(self.bn1(self.conv1(x)))
        return torch.relu_(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """A ResNet of basic blocks without classifier: an image in, a feature map out.

    Parameter names are torchvision's (``conv1``, ``bn1``, ``layer1.0.conv1`` ...), so that
    public ResNet-18 weights load. Thesis Table 3.4 is the default: the strides of the last two
    stages are 1, which leaves a feature map of 1/8 of the image's size.

    Args:
        widths: channels of each stage; their number is the number of stages kept.
        strides: stride of each stage's first block; as many as ``widths``.
        blocks: basic blocks in each stage (2 for ResNet-18, 1 for ResNet-10).
        padding_mode: how every 3x3 and the first 7x7 convolution pad.
    """

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        strides: Sequence[int] = (1, 2, 1, 1),
        blocks: int = 2,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        super().__init__()
        assert len(widths) == len(strides)
        self.conv1 = _convolution(3, widths[0], 7, 2, padding_mode)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.num_stages = len(widths)
        self.width = widths[-1]
        width_in = widths[0]
        for stage, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            first = BasicBlock(width_in, width, stride, padding_mode)
            rest = [BasicBlock(width, width, 1, padding_mode) for _ in range(blocks - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(first, *rest))
            width_in = width
        _initialize(self)

    def forward(
        self, x: Float[Tensor, "b 3 h w"], stages: int | None = None
    ) -> Float[Tensor, "b d h2 w2"]:
        """The feature map after ``stages`` stages (all of them by default)."""
        return self.pyramid(x, stages or self.num_stages)[-1]

    def pyramid(self, x: Float[Tensor, "b 3 h w"], stages: int) -> list[Float[Tensor, "b _ _ _"]]:
        """The feature maps after each of the first ``stages`` stages, the finest first."""
        maps = [self.maxpool(torch.relu_(self.bn1(self.conv1(x))))]
        for stage in range(1, stages + 1):
            maps.append(self.get_submodule(f"layer{stage}")(maps[-1]))
        return maps[1:]


def _convolution(
    width_in: int, width: int, size: int, stride: int, padding_mode: PaddingMode
) -> nn.Conv2d:
    kind = ReflectedConv2d if padding_mode == "reflect" else nn.Conv2d
    return kind(width_in, width, size, stride, size // 2, bias=False, padding_mode=padding_mode)


def _initialize(network: nn.Module) -> None:
    """Kaiming-normal convolutions over the fan out, as torchvision starts its ResNets."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

"""Residual networks with torchvision's parameter names and a feature map of chosen stride."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

PaddingMode = Literal["zeros", "reflect"]

STEM_STRIDE = 4
"""Of the first convolution and the pool together."""


class ReflectedConv2d(nn.Conv2d):
    """A convolution that reflects the border, in whatever number format its input has.

    Autocast would reflect in float32, and convert there and back in both passes.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        """The convolution of the input with its border reflected."""
        return _convolve(self, x, self.stride[0])


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that drops pixels by its stride before it multiplies, not while.

    The result is the same. oneDNN's own way writes past its memory in the backward pass of
    float32 in channels-last order with up to eight channels (torch 2.13 on a CPU).
    """

    def __init__(self, width_in: int, width: int, stride: int, *, bias: bool = True) -> None:
        super().__init__(width_in, width, 1, stride, bias=bias)

    def forward(
        self, x: Float[Tensor, "b c h w"], stride: int | None = None
    ) -> Float[Tensor, "b d h2 w2"]:
        """The convolution of every ``stride``-th pixel, by default the layer's own."""
        stride = stride or self.stride[0]
        return functional.conv2d(x[..., ::stride, ::stride], self.weight, self.bias)


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

    @property
    def stride(self) -> int:
        """Of the first convolution and the shortcut."""
        return self.conv1.stride[0]

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        stride: int | None = None,
        dilations: tuple[int, int] = (1, 1),
    ) -> Float[Tensor, "b d h2 w2"]:
        """The sum of two convolutions and a shortcut; with another stride, and dilated, if asked.

        Args:
            x: feature map.
            stride: in place of the block's own.
            dilations: of the two convolutions.
        """
        stride = stride or self.stride
        shortcut = x
        if self.downsample is not None:
            pointwise, norm = self.downsample
            assert isinstance(pointwise, PointwiseConv2d)
            shortcut = norm(pointwise(x, stride))
        y = torch.relu_(self.bn1(_convolve(self.conv1, x, stride, dilations[0])))
        return torch.relu_(self.bn2(_convolve(self.conv2, y, 1, dilations[1])) + shortcut)


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
        self.strides = tuple(strides)
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

    @property
    def stride(self) -> int:
        """Pixels of the image from one cell of the last stage to the next."""
        return STEM_STRIDE * math.prod(self.strides)

    def pyramid(
        self,
        x: Float[Tensor, "b 3 h w"],
        stages: int,
        stride: int | None = None,
        *,
        dilate: bool = True,
    ) -> list[Float[Tensor, "b _ _ _"]]:
        """The feature maps after each of the first ``stages`` stages, the finest first.

        Args:
            x: images.
            stages: how many.
            stride: no map is coarser than this: strides that would make it so are taken out (all
                stages then see the image as finely as this). None leaves them as they are.
            dilate: convolutions after a stride that was taken out are dilated by it, so that each
                cell sees what it saw with the stride ("atrous" reading: Chen et al., 2017).
        """
        stride = stride or self.stride
        maps = [self.maxpool(torch.relu_(self.bn1(self.conv1(x))))]
        reached, dilation = STEM_STRIDE, 1
        for stage in range(1, stages + 1):
            found = maps[-1]
            for block in self.get_submodule(f"layer{stage}").children():
                assert isinstance(block, BasicBlock)
                before, step = dilation, block.stride
                if reached * step > stride:
                    dilation, step = dilation * step if dilate else dilation, 1
                reached *= step
                found = block(found, step, (before, dilation))
            maps.append(found)
        return maps[1:]


def _convolve(
    convolution: nn.Conv2d, x: Float[Tensor, "b c h w"], stride: int, dilation: int = 1
) -> Float[Tensor, "b d h2 w2"]:
    """A convolution of this module's, at another stride or dilation than it was made for."""
    reach = convolution.kernel_size[0] // 2 * dilation
    padding = reach
    if convolution.padding_mode == "reflect":
        # Maps of no more cells than are reflected repeat their border instead.
        mode = "reflect" if min(x.shape[-2:]) > reach else "replicate"
        with torch.autocast(x.device.type, enabled=False):
            x = functional.pad(x, [reach] * 4, mode=mode)
        padding = 0
    return functional.conv2d(x, convolution.weight, convolution.bias, stride, padding, dilation)


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

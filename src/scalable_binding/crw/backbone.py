"""Backbone: the network that learns. A ResNet with a stride of its own, and a linear head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn.resnet import STEM_STRIDE, PaddingMode, ResNet

CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_STD = (0.229, 0.224, 0.225)

STRIDES = (1, 2, 1, 1)
"""Of the four stages: the last two keep their size (Table 3.4)."""

ARGUMENTS = ("widths", "width", "padding_mode", "batch_statistics", "strides")
"""Of :class:`Backbone`, as ``config.json`` names them."""

Maps = list[Float[Tensor, "b _ _ _"]]


class Backbone(nn.Module):
    """A ResNet and a linear head: ``phi(x) = head(resnet(x)) / |head(resnet(x))|``.

    Training reads :meth:`forward`. Label propagation reads :meth:`maps`, through a ``Reader``.
    Weights carry torchvision's names under ``resnet.``.

    Args:
        widths: channels of each stage, (64, 128, 256, 512) for ResNet-18.
        width: dimension d of the embedding; None for no head.
        padding_mode: padding of the convolutions, "reflect" as in the authors' code or "zeros".
        batch_statistics: normalize by the statistics of each batch in training. Without, batch
            norms keep those that calibration gave them, and only scale and shift.
        strides: of each stage, after a stem of stride 4; None takes the first ones of Table 3.4.

    Source: Thesis 3.2.3 and Table 3.4.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 256, 512),
        width: int | None = 128,
        padding_mode: PaddingMode = "zeros",
        batch_statistics: bool = True,
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.width = width
        self.padding_mode = padding_mode
        self.batch_statistics = batch_statistics
        self.strides = STRIDES[: len(self.widths)] if strides is None else tuple(strides)
        assert len(self.strides) == len(self.widths) and min(self.strides) >= 1
        self.resnet = ResNet(self.widths, self.strides, padding_mode=padding_mode)
        self.head = None if width is None else nn.Linear(self.resnet.width, width)
        self.register_buffer("mean", torch.tensor(CHANNEL_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CHANNEL_STD).view(3, 1, 1), persistent=False)

    @property
    def stride(self) -> int:
        """Pixels between neighboring cells of the last stage."""
        return self.resnet.stride

    @property
    def num_stages(self) -> int:
        """Stages of the network, without a head."""
        return len(self.widths)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.resnet.conv1.weight.device

    @property
    def channels(self) -> tuple[int, ...]:
        """Of every stage that can be read, from stage 1; a head counts as the stage after them."""
        return self.widths if self.width is None else (*self.widths, self.width)

    @property
    def arguments(self) -> dict[str, Any]:
        """What it was built with, in plain values for a ``config.json``."""
        return {name: getattr(self, name) for name in ARGUMENTS}

    def train(self, mode: bool = True) -> Backbone:
        """Training mode, or not; batch norms follow where they are to use a batch's statistics."""
        super().train(mode)
        if not self.batch_statistics:
            for norm in self.norms().values():
                norm.eval()
        return self

    def norms(self) -> dict[str, nn.BatchNorm2d]:
        """The batch norms by name, whose statistics belong to the images that are read."""
        named = self.named_modules()
        return {name: module for name, module in named if isinstance(module, nn.BatchNorm2d)}

    def map_strides(self, stages: int, stride: int | None = None) -> list[int]:
        """The stride of each of the maps that :meth:`maps` gives."""
        reached, found = STEM_STRIDE, []
        for step in self.strides[:stages]:
            if stride is None or reached * step <= stride:
                reached *= step
            found.append(reached)
        found += found[-1:] * (stages - len(found))
        return found

    def maps(
        self,
        images: Float[Tensor, "b 3 h w"],
        stages: int,
        stride: int | None = None,
        *,
        dilate: bool = True,
    ) -> Maps:
        """The feature maps of the first ``stages`` stages of images with colors in [0, 1].

        Args:
            images: in channels-last order they are read fastest.
            stages: how many; one more than the network has for the head's output at each cell.
            stride: strides that would make a map coarser than this are taken out.
            dilate: what follows a stride that was taken out is dilated by it.
        """
        deep = min(stages, len(self.widths))
        found = self.resnet.pyramid(self.normalize(images), deep, stride, dilate=dilate)
        if stages > deep:
            assert self.head is not None
            found.append(functional.conv2d(found[-1], self.head.weight[..., None, None]))
            found[-1] = found[-1] + self.head.bias[:, None, None]
        return found

    def forward(
        self, images: Float[Tensor, "b 3 h w"], pool: bool = True
    ) -> Float[Tensor, "b n d"]:
        """Unit vectors after the head of images with colors in [0, 1]: one an image, or one a cell.

        With ``pool`` an image is a node (a patch), averaged over space before the head; without it
        every cell of the feature map is one, row by row.
        """
        assert self.head is not None
        maps = self.resnet(self.normalize(images))
        if pool:
            maps = maps.mean(dim=(2, 3), keepdim=True)
        nodes = self.head(rearrange(maps, "b c h w -> b (h w) c"))
        return functional.normalize(nodes.float(), dim=-1)

    def normalize(self, colors: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Colors as the network takes them, channels last."""
        return ((colors - self.mean) / self.std).to(memory_format=torch.channels_last)

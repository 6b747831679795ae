"""Inception-v3 as the Fréchet inception distance uses it, for weights that the user has.

Names of parameters are those of the port of the original TensorFlow weights (the file
``pt_inception-2015-12-05-6726825d.pth``). The network differs from torchvision's of the same name:
averages over a window leave out the border, and the last block takes maxima.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.metrics.networks import Extracted, with_counters

SIDE = 299
"""Pixels to which images are resized."""

NUM_CLASSES = 1008
WIDTH = 2048

Pooling = Literal["average", "max", "reduce"]


class Step(NamedTuple):
    """A convolution of a branch; one that reduces has stride 2 and no padding."""

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    reduce: bool = False


Branch = list[Step | tuple[Step, Step]]
"""Convolutions one after the other; a pair, which comes last, is taken side by side."""

ROW, COLUMN, SQUARE = (1, 7), (7, 1), (3, 3)


class Convolution(nn.Module):
    """A convolution with batch normalization and rectification."""

    def __init__(self, before: int, step: Step, *, padded: bool = True) -> None:
        super().__init__()
        rows, columns = step.kernel
        padding = (rows // 2, columns // 2) if padded and not step.reduce else 0
        stride = 2 if step.reduce else 1
        self.conv = nn.Conv2d(before, step.width, step.kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(step.width, eps=0.001)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """The activations."""
        return functional.relu(self.bn(self.conv(x)))


class Block(nn.Module):
    """Branches of convolutions side by side, and one that pools; their outputs are joined.

    Args:
        before: channels of the input.
        branches: of convolutions.
        pooling: of the last branch, over windows of 3 x 3; one that reduces takes maxima.
        width: channels that the pooled input is mapped to; None where it is left as it is.
    """

    def __init__(
        self, before: int, branches: list[Branch], pooling: Pooling, width: int | None = 192
    ) -> None:
        super().__init__()
        self._pooling = pooling
        self._names: list[list[tuple[str, ...]]] = []
        for branch in branches:
            channels, names = before, []
            for step in branch:
                pair = (step,) if isinstance(step, Step) else step
                for one in pair:
                    self.add_module(one.name, Convolution(channels, one))
                names.append(tuple(one.name for one in pair))
                channels = pair[-1].width
            self._names.append(names)
        if width is not None:
            self.branch_pool: nn.Module = Convolution(before, Step("branch_pool", width))
        else:
            self.branch_pool = nn.Identity()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """The joined outputs, the pooled one last."""
        outputs = []
        for branch in self._names:
            parts = [x]
            for names in branch:
                parts = [self.get_submodule(name)(parts[0]) for name in names]
            outputs += parts
        return torch.cat([*outputs, self.branch_pool(self._pool(x))], dim=1)

    def _pool(self, x: Tensor) -> Tensor:
        if self._pooling == "average":
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        if self._pooling == "max":
            return functional.max_pool2d(x, 3, stride=1, padding=1)
        return functional.max_pool2d(x, 3, stride=2)


class InceptionV3(nn.Module):
    """Images to 2,048 features and the logits of 1,008 classes, without the classes' biases.

    Source: Szegedy et al., 2016; Heusel et al., 2017 for its use and the resizing of images.
    """

    channels, width, num_classes = 3, WIDTH, NUM_CLASSES

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, Step("", 32, SQUARE, reduce=True))
        self.Conv2d_2a_3x3 = Convolution(32, Step("", 32, SQUARE), padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, Step("", 64, SQUARE))
        self.Conv2d_3b_1x1 = Convolution(64, Step("", 80))
        self.Conv2d_4a_3x3 = Convolution(80, Step("", 192, SQUARE), padded=False)
        self.Mixed_5b = Block(192, _fine(), "average", 32)
        self.Mixed_5c = Block(256, _fine(), "average", 64)
        self.Mixed_5d = Block(288, _fine(), "average", 64)
        self.Mixed_6a = Block(288, _reduce_to_17(), "reduce", None)
        self.Mixed_6b = Block(768, _long(128), "average")
        self.Mixed_6c = Block(768, _long(160), "average")
        self.Mixed_6d = Block(768, _long(160), "average")
        self.Mixed_6e = Block(768, _long(192), "average")
        self.Mixed_7a = Block(768, _reduce_to_8(), "reduce", None)
        self.Mixed_7b = Block(1280, _wide(), "average")
        self.Mixed_7c = Block(2048, _wide(), "max")
        self.fc = nn.Linear(WIDTH, NUM_CLASSES)

    def forward(self, images: UInt8[Tensor, "b 3 h w"]) -> Extracted:
        """Features and logits of images of any size."""
        x = (resize(images.float(), SIDE) - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        features = x.mean(dim=(2, 3))
        return Extracted(features, features @ self.fc.weight.T)

    @staticmethod
    def translate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a port's file under our names: auxiliary ones left out, counters added."""
        return with_counters({n: t for n, t in tensors.items() if not n.startswith("AuxLogits.")})


def resize(images: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b c side side"]:
    """Square images, interpolated linearly with the first pixels' corners laid on each other.

    That is how the original network's images were resized, without half a pixel's shift and
    without smoothing; its scores depend on it.
    """
    rows, columns = (_weights(count, side, images.device) for count in images.shape[-2:])
    return torch.einsum("bchw,ih,jw->bcij", images, rows, columns)


def _weights(count: int, side: int, device: torch.device) -> Float[Tensor, "side n"]:
    places = (torch.arange(side, device=device) * (count / side)).clamp(max=count - 1)
    return (1 - (places[:, None] - torch.arange(count, device=device)).abs()).clamp(min=0)


def _fine() -> list[Branch]:
    """Branches at 35 x 35 positions."""
    return [
        [Step("branch1x1", 64)],
        [Step("branch5x5_1", 48), Step("branch5x5_2", 64, (5, 5))],
        [
            Step("branch3x3dbl_1", 64),
            Step("branch3x3dbl_2", 96, SQUARE),
            Step("branch3x3dbl_3", 96, SQUARE),
        ],
    ]


def _reduce_to_17() -> list[Branch]:
    return [
        [Step("branch3x3", 384, SQUARE, reduce=True)],
        [
            Step("branch3x3dbl_1", 64),
            Step("branch3x3dbl_2", 96, SQUARE),
            Step("branch3x3dbl_3", 96, SQUARE, reduce=True),
        ],
    ]


def _long(inner: int) -> list[Branch]:
    """Branches at 17 x 17 positions, with kernels of 1 x 7 and 7 x 1."""
    return [
        [Step("branch1x1", 192)],
        [
            Step("branch7x7_1", inner),
            Step("branch7x7_2", inner, ROW),
            Step("branch7x7_3", 192, COLUMN),
        ],
        [
            Step("branch7x7dbl_1", inner),
            Step("branch7x7dbl_2", inner, COLUMN),
            Step("branch7x7dbl_3", inner, ROW),
            Step("branch7x7dbl_4", inner, COLUMN),
            Step("branch7x7dbl_5", 192, ROW),
        ],
    ]


def _reduce_to_8() -> list[Branch]:
    return [
        [Step("branch3x3_1", 192), Step("branch3x3_2", 320, SQUARE, reduce=True)],
        [
            Step("branch7x7x3_1", 192),
            Step("branch7x7x3_2", 192, ROW),
            Step("branch7x7x3_3", 192, COLUMN),
            Step("branch7x7x3_4", 192, SQUARE, reduce=True),
        ],
    ]


def _wide() -> list[Branch]:
    """Branches at 8 x 8 positions, which part at their ends."""
    return [
        [Step("branch1x1", 320)],
        [
            Step("branch3x3_1", 384),
            (Step("branch3x3_2a", 384, (1, 3)), Step("branch3x3_2b", 384, (3, 1))),
        ],
        [
            Step("branch3x3dbl_1", 448),
            Step("branch3x3dbl_2", 384, SQUARE),
            (Step("branch3x3dbl_3a", 384, (1, 3)), Step("branch3x3dbl_3b", 384, (3, 1))),
        ],
    ]

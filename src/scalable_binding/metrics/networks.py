"""Networks whose features sets of samples are compared by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Extracted(NamedTuple):
    """What a network says of samples: their features, and logits of classes if it knows some."""

    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b c"] | None


class ImageClassifier(nn.Module):
    """A small convolutional network; its features are the activations before the logits.

    Args:
        channels: of an image.
        num_classes: to tell apart.
        widths: channels of each stage, which halves the sides.
        width: of the features.
        dropout: of features in training, which keeps them from depending on few of them.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        widths: Sequence[int] = (16, 32),
        width: int = 64,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.channels, self.num_classes, self.width = channels, num_classes, width
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                    nn.Conv2d(after, after, 3, padding=1),
                    nn.BatchNorm2d(after),
                    nn.ReLU(),
                    nn.MaxPool2d(2, ceil_mode=True),
                )
                for before, after in pairwise((channels, *widths))
            )
        )
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(4 * widths[-1], width)
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(width, num_classes)

    def forward(self, images: UInt8[Tensor, "b c h w"]) -> Extracted:
        """Features and logits of images of any size."""
        x = self.pool(self.stages(images.float() / 255))
        features = self.hidden(rearrange(x, "b c h w -> b (c h w)")).relu()
        return Extracted(features, self.classes(self.dropout(features)))


class MotionClassifier(nn.Module):
    """A small network over space and time that tells which digits a video shows and their speeds.

    Args:
        width: of the features.
        num_classes: digits to tell apart.
    """

    def __init__(self, width: int = 64, num_classes: int = 10) -> None:
        super().__init__()
        self.channels, self.width, self.num_classes = 1, width, num_classes
        self.stages = nn.Sequential(
            *_convolve(1, 16, (1, 5, 5), 2),
            *_convolve(16, 48, (3, 3, 3), 2),
            *_convolve(48, 64, (3, 3, 3), 1),
            *_convolve(64, 64, (3, 3, 3), 2),
        )
        self.hidden = nn.Linear(2 * 64, width)
        self.presence = nn.Linear(width, num_classes)
        self.speed = nn.Linear(width, 2 * num_classes)

    def forward(self, videos: UInt8[Tensor, "b 1 t h w"]) -> Extracted:
        """Features of videos of any length and size."""
        x = self.stages(videos.float() / 255)
        pooled = torch.cat((x.mean(dim=(2, 3, 4)), x.amax(dim=(2, 3, 4))), dim=1)
        return Extracted(self.hidden(pooled).relu(), None)

    def describe(
        self, features: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c 2"]]:
        """Logits of each digit's presence, and its speed along x and y in pixels a frame."""
        speed = rearrange(self.speed(features), "b (c axes) -> b c axes", axes=2)
        return self.presence(features), speed


def _convolve(
    before: int, after: int, kernel: tuple[int, int, int], stride: int
) -> tuple[nn.Module, ...]:
    """A convolution whose stride is over space alone, normalized and rectified."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    convolution = nn.Conv3d(before, after, kernel, (1, stride, stride), padding, bias=False)
    return convolution, nn.BatchNorm3d(after), nn.ReLU()


def with_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A port's tensors with the counters of batch normalization, which old files lack."""
    counters = {
        name.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
        for name in tensors
        if name.endswith("running_mean")
    }
    return counters | dict(tensors)


def fingerprint(network: nn.Module) -> str:
    """What tells networks apart that give different features: the kind and every weight."""
    digest = hashlib.sha256(type(network).__name__.encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

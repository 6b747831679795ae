"""Handwritten digits of 8 x 8 pixels, real and at hand without a download."""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.data.datasets.order import Shuffle
from scalable_binding.errors import UserError

Split = Literal["train", "held_out"]

SIDE = 8
NUM_CLASSES = 10
NUM_TRAIN, NUM_HELD_OUT = 1400, 397
_SPLIT_SEED = 0
_LEVELS = 16


class Digits(Dataset[dict[str, Tensor]]):
    """Endless digits: ``dataset[index]`` for every index >= 0, every pass in another order.

    An item is ``{"image": uint8 (1 8 8), "label": int64 (), "index": int64 ()}``, with ink bright.

    Args:
        split: "train", 1,400 digits, or "held_out", the other 397; the same for every seed.
        seed: of the order.

    Raises:
        UserError: scikit-learn, which brings the digits, is not installed.
    """

    num_classes = NUM_CLASSES

    def __init__(self, split: Split = "train", *, seed: int = 0) -> None:
        self.images, self.labels = load(split)
        self._order = Shuffle(len(self.images), seed)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number = self._order[index]
        return {
            "image": self.images[number],
            "label": self.labels[number],
            "index": torch.tensor(index),
        }


@cache
def load(split: Split) -> tuple[UInt8[Tensor, "n 1 8 8"], Int64[Tensor, " n"]]:
    """The images of a split in [0, 255] and their digits, each once.

    Raises:
        UserError: scikit-learn is not installed.

    Source: scikit-learn's copy of the optical recognition of handwritten digits (UCI).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise UserError(
            "the digits come with scikit-learn, which is not installed",
            fix="pip install 'scalable-binding[digits]'",
        ) from error
    found = load_digits()
    images = torch.from_numpy((found.images * (255 / _LEVELS)).round().astype(np.uint8))
    labels = torch.from_numpy(found.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(images)))
    chosen = order[:NUM_TRAIN] if split == "train" else order[NUM_TRAIN:]
    return rearrange(images[chosen], "n h w -> n 1 h w"), labels[chosen]

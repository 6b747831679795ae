"""Images with classes, in an endless and reproducible order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.data.datasets.image_catalog import UnusableImageWarning, find_images
from scalable_binding.data.datasets.order import Shuffle
from scalable_binding.data.frames import images
from scalable_binding.data.frames.memory import MAX_BYTES, Memory
from scalable_binding.errors import UserError

__all__ = ["LabeledImages", "UnusableImageWarning"]


class LabeledImages(Dataset[dict[str, Tensor]]):
    """Endless images of one size: ``dataset[index]`` for every index >= 0.

    An item ``{"image": uint8 (3 h w), "label": int64 (), "index": int64 ()}`` depends on the seed,
    the index and the files alone; every ``len(dataset)`` items visit each image once, in an order
    shuffled anew. An image that cannot be read is replaced by the next in the order; it is warned
    of once and counted in ``failures``, over all the worker processes.

    Args:
        root: a folder, a ``.zip`` archive or a ``.tar`` shard of images, or several; classes are
            named by folders or ``.cls`` files, see ``image_catalog.find_images``.
        size: side in pixels, or height and width, of what the middle of an image is resized to.
        flip: show every image, at random, as it is or mirrored from left to right.
        seed: of the order and the mirroring.
        memory: bytes of resized images to keep, so that they are decoded once, over all the worker
            processes of a loader.

    Raises:
        UserError: a size is out of range, or what ``image_catalog.find_images`` refuses; from
            ``dataset[index]``, not one of the images can be read.
    """

    def __init__(
        self,
        root: str | Path | Sequence[str | Path],
        *,
        size: int | tuple[int, int],
        flip: bool = False,
        seed: int = 0,
        memory: int = MAX_BYTES,
    ) -> None:
        self.height, self.width = (size, size) if isinstance(size, int) else size
        if min(self.height, self.width) < 1 or self.height * self.width > images.MAX_PIXELS:
            raise UserError(
                "size of the images", expected=f"1 to {images.MAX_PIXELS} pixels", got=str(size)
            )
        roots = [root] if isinstance(root, str | Path) else root
        self.catalog = find_images([Path(one) for one in roots])
        self.flip = flip
        self.seed = seed
        self._order = Shuffle(len(self.catalog.images), seed)
        self._failures = torch.zeros(len(self), dtype=torch.int64).share_memory_()
        self._memory = Memory(memory)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in the order of their labels; empty where there are none."""
        return self.catalog.classes

    @property
    def num_classes(self) -> int:
        """How many classes there are, 0 where images have none."""
        return len(self.classes)

    @property
    def failures(self) -> dict[str, int]:
        """How often each image could not be read so far; those that never failed are left out."""
        counts = self._failures.tolist()
        return {str(self.catalog.images[n]): count for n, count in enumerate(counts) if count}

    def __len__(self) -> int:
        return len(self.catalog.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        number, image = self._read(index)
        if self.flip and np.random.default_rng((self.seed, index)).random() < 0.5:
            image = image.flip(-1)
        return {
            "image": image,
            "label": self.catalog.labels[number],
            "index": torch.tensor(index),
        }

    def _read(self, index: int) -> tuple[int, UInt8[Tensor, "3 h w"]]:
        """The first image that can be read from the index's place in the order on."""
        reason = ""
        first = self._order[index]
        order = self._order.of_pass(index // len(self))
        for attempt in range(len(self)):
            number = first if attempt == 0 else int(order[(index + attempt) % len(self)])
            kept = self._memory.get(number)
            if kept is not None:
                return number, kept.clone()
            try:
                image = images.read_middle(self.catalog.images[number], self.height, self.width)
            except UserError as error:
                reason = str(error)
                self._count_failure(number, reason)
            else:
                self._memory.keep(number, image.clone())
                return number, image
        raise UserError(f"none of the {len(self)} images can be read; the last one: {reason}")

    def _count_failure(self, number: int, reason: str) -> None:
        if self._failures[number] == 0:
            message = f"another image is taken instead: {reason}"
            warnings.warn(message, UnusableImageWarning, stacklevel=4)
        self._failures[number] += 1

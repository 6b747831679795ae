"""What has been decoded and shrunk once, kept as far as it fits."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor
from torch.utils.data import get_worker_info

MAX_BYTES = 512 << 20
"""Bytes that a data set keeps by default, over all the worker processes of a loader."""


class Memory:
    """Tensors by key, until so many bytes are full; nothing is forgotten.

    Data that fit are decoded once. Of data that do not, those that came first stay, and the others
    are decoded each time, at no cost but of having asked.

    >>> import torch
    >>> memory = Memory(most=8)
    >>> memory.keep("first", torch.zeros(8, dtype=torch.uint8))
    >>> memory.keep("second", torch.zeros(1, dtype=torch.uint8))
    >>> memory.get("first").shape, memory.get("second")
    (torch.Size([8]), None)

    Args:
        most: bytes, of which each worker process of a loader gets an equal part.
    """

    def __init__(self, most: int = MAX_BYTES) -> None:
        self.most = most
        self._kept: dict[Hashable, Tensor] = {}
        self._bytes = 0

    def get(self, key: Hashable) -> Tensor | None:
        """What is kept under a key, not to be written to; None if nothing is."""
        return self._kept.get(key)

    def fits(self, num_bytes: int) -> bool:
        """Whether so many more bytes can be kept."""
        worker = get_worker_info()
        return self._bytes + num_bytes <= self.most // (1 if worker is None else worker.num_workers)

    def keep(self, key: Hashable, tensor: Tensor) -> None:
        """Keep a tensor under a new key, if it fits."""
        if key not in self._kept and self.fits(tensor.nbytes):
            self._kept[key] = tensor
            self._bytes += tensor.nbytes

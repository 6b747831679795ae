"""Micro-batches of an endless dataset, in an order that is a function of the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.interruption import ignore_signals
from scalable_binding.engine.randomness import generator
from scalable_binding.errors import UserError


@runtime_checkable
class EndlessDataset(Protocol):
    """Examples by index, defined for every index of at least 0 and a function of it alone."""

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...


@dataclass(frozen=True)
class MicroBatch:
    """Examples that go through the model at once, and the index of the first of them."""

    first_index: int
    tensors: dict[str, Any]


def micro_batch_size(config: FitConfig, ranks: DistributedContext) -> int:
    """The number of examples of a micro-batch.

    Raises:
        UserError: a batch cannot be divided into equal shares of micro-batches for every rank.
    """
    size = config.micro_batch_size or config.batch_size // ranks.size
    if size == 0 or config.batch_size % (size * ranks.size):
        micro = config.micro_batch_size or 1
        raise UserError(
            "batch_size",
            expected=f"a multiple of {micro * ranks.size} ({ranks.size} processes)",
            got=str(config.batch_size),
        )
    return size


def batches(
    dataset: EndlessDataset, config: FitConfig, ranks: DistributedContext, *, start: int
) -> Iterator[list[MicroBatch]]:
    """For each step from ``start`` on, this rank's micro-batches on its device.

    Example j of step s has the index s * batch_size + j; ranks, then micro-batches, take
    consecutive slices.
    """
    size = micro_batch_size(config, ranks)
    share = config.batch_size // ranks.size
    firsts = [ranks.rank * share + offset for offset in range(0, share, size)]

    def indices() -> Iterator[list[int]]:
        for step in range(start, config.steps):
            for first in firsts:
                index = step * config.batch_size + first
                yield [*range(index, index + size)]

    loader: DataLoader[dict[str, Any]] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_sampler=indices(),
        num_workers=config.num_workers,
        pin_memory=ranks.device.type == "cuda",
        worker_init_fn=ignore_signals,
        generator=generator(config.seed),
    )
    stream = iter(loader)
    for step in range(start, config.steps):
        yield [
            MicroBatch(step * config.batch_size + first, _move(next(stream), ranks.device))
            for first in firsts
        ]


def _move(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }

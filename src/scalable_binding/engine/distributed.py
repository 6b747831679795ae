"""The processes of a run: one, or what ``torchrun`` started."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from scalable_binding.engine.devices import choose_device


@dataclass(frozen=True)
class DistributedContext:
    """The present process among those that train together, and the device it trains on."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes files and shows progress."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks of a tensor of the same shape on each."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.size

    def largest(self, value: int) -> int:
        """The largest of one number from each rank."""
        if self.size == 1:
            return value
        values = torch.tensor(value)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return int(values)

    def wait(self) -> None:
        """Return once every rank has come here."""
        self.largest(0)


@contextmanager
def distributed_session(device: str) -> Iterator[DistributedContext]:
    """A scope in which the processes of the run can talk: alone, or all that torchrun started.

    Args:
        device: as :class:`~scalable_binding.engine.fit_config.FitConfig` has it.

    Raises:
        UserError: there is no such device.
    """
    launched = "WORLD_SIZE" in os.environ and "RANK" in os.environ
    starts = launched and not dist.is_initialized()
    chosen = choose_device(device)
    if starts:
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "cpu:gloo")
    try:
        if dist.is_initialized():
            yield DistributedContext(dist.get_rank(), dist.get_world_size(), chosen)
        else:
            yield DistributedContext(0, 1, chosen)
    finally:
        if starts:
            dist.destroy_process_group()


def broadcast_parameters(model: nn.Module, ranks: DistributedContext) -> None:
    """Give every rank the first rank's weights and buffers."""
    if ranks.size > 1:
        for tensor in model.state_dict(keep_vars=True).values():
            dist.broadcast(tensor.detach(), src=0)


def distribute(objective: nn.Module, ranks: DistributedContext, *, fsdp: bool) -> nn.Module:
    """The module to call so that gradients end up averaged over the ranks.

    With ``fsdp`` parameters are sharded in place; each element of a ``ModuleList`` (the blocks of
    a transformer, which must be called as modules) is one unit, and the rest is another.
    """
    if ranks.size == 1:
        if fsdp:
            warnings.warn(
                "fsdp is ignored: there is one process; start with torchrun", stacklevel=2
            )
        return objective
    if not fsdp:
        devices = [ranks.device] if ranks.device.type == "cuda" else None
        return DistributedDataParallel(objective, device_ids=devices)
    # Here, since it takes a second of processor time that no other run has use for.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(ranks.device.type, (ranks.size,))
    for module in reversed([*objective.modules()]):
        if isinstance(module, nn.ModuleList):
            for block in module:
                if not isinstance(block, nn.ModuleList | nn.ModuleDict):
                    fully_shard(block, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    return objective


def accumulating(objective: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
    """A scope for one micro-batch: only the ``last`` of a batch averages gradients over ranks."""
    fsdp = sys.modules.get("torch.distributed.fsdp")  # imported by who shards a model
    if fsdp is not None and isinstance(objective, fsdp.FSDPModule):
        objective.set_requires_gradient_sync(last)
    if isinstance(objective, DistributedDataParallel) and not last:
        return objective.no_sync()
    return nullcontext()

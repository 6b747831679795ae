"""A model, a loss and a dataset that train in milliseconds, and processes to train them in."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalable_binding.engine.config import from_mapping
from scalable_binding.engine.fit import fit
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.interruption import Interrupted

INTERRUPTED = 75


class Points:
    """Endless noisy points of a plane, each a function of its index."""

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        x = torch.randn(6, generator=torch.Generator().manual_seed(index))
        return {"x": x, "y": x.cumsum(0)[2:5]}


class Block(nn.Module):
    """Three stacked matrices applied to the same input, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(7, 3 * 7)
        self.fused_slices = {"qkv.weight": 3}
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return x + self.dropout(torch.sigmoid(q * k) * v)


class Net(nn.Module):
    """A small residual network; ``norm`` is "batch" (with running statistics) or "layer"."""

    def __init__(self, norm: str = "batch") -> None:
        super().__init__()
        self.stem = nn.Linear(6, 7)
        self.norm = nn.BatchNorm1d(7) if norm == "batch" else nn.LayerNorm(7)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def loss(model: Any, batch: dict[str, Tensor], generator: torch.Generator) -> Any:
    """Mean squared error on inputs with noise from the generator."""
    noise = torch.randn(batch["x"].shape, generator=generator)
    error = (model(batch["x"] + 0.01 * noise) - batch["y"]).square().mean()
    return error, {"rmse": error.detach().sqrt()}


def slow_loss(model: Any, batch: dict[str, Tensor], generator: torch.Generator) -> Any:
    """The loss, late enough for a signal to come in between."""
    time.sleep(0.002)
    return loss(model, batch, generator)


def net(seed: int = 0, norm: str = "batch") -> Net:
    """A freshly initialized network, without a trace in the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(norm)


def config(**changes: Any) -> FitConfig:
    """Settings of a run of some steps, on the CPU, silent."""
    defaults = {"steps": 12, "batch_size": 8, "device": "cpu", "progress": False}
    return from_mapping(FitConfig, {"optimizer.lr": 1e-2, **defaults, **changes})


def train(run: Path, settings: FitConfig, norm: str = "batch", *, slow: bool = False) -> None:
    """Train in a process of its own; the exit code tells done from interrupted."""
    torch.set_num_threads(1)
    try:
        fit(net(norm=norm), slow_loss if slow else loss, Points(), settings, run)
    except Interrupted:
        sys.exit(INTERRUPTED)


def start(run: Path, settings: FitConfig, norm: str = "batch", *, slow: bool = True) -> BaseProcess:
    """A process that trains; the first call takes seconds, later ones fork a prepared server."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scalable_binding.engine.fit"])
    process = context.Process(target=train, args=(run, settings, norm), kwargs={"slow": slow})
    process.start()
    return process


def train_on_ranks(size: int, run: Path, settings: FitConfig, norm: str = "layer") -> list[int]:
    """Train with ``size`` processes as torchrun would start them; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scalable_binding.engine.fit"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        context.Process(target=_train_rank, args=(rank, size, port, run, settings, norm))
        for rank in range(size)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
    return [-1 if process.exitcode is None else process.exitcode for process in ranks]


def _train_rank(rank: int, size: int, port: int, run: Path, settings: FitConfig, norm: str) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    train(run, settings, norm)

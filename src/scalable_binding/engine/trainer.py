"""A model together with all that training changes: weights, optimizer and average."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_

from scalable_binding.engine import checkpoint, optimizers
from scalable_binding.engine.distributed import (
    DistributedContext,
    accumulating,
    broadcast_parameters,
    distribute,
)
from scalable_binding.engine.dtensor import whole
from scalable_binding.engine.ema import Ema, named_tensors
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.loading import MicroBatch
from scalable_binding.engine.randomness import derive, generator, isolated
from scalable_binding.engine.schedules import lr_multiplier

Metrics = Mapping[str, float | Tensor]
Loss = Callable[[Any, dict[str, Any], Generator], tuple[Float[Tensor, ""], Metrics]]


class Objective(nn.Module):
    """Model and loss as one module, so that what distributes it sees a single forward pass.

    The loss is thereby free to call any method of the model, as often as it likes.
    """

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self._loss = loss

    def forward(
        self, batch: dict[str, Any], generator: Generator
    ) -> tuple[Float[Tensor, ""], Metrics]:
        """The loss of a micro-batch and its metrics."""
        return self._loss(self.model, batch, generator)


class Trainer:
    """A model in training; ``inference`` is the averaged copy of it, brought up to date on call.

    A context manager: what it needs to talk to other ranks is gone after it.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, config: FitConfig, ranks: DistributedContext
    ) -> None:
        self.config = config
        self.ranks = ranks
        self.model = model.to(ranks.device).train()
        if config.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        broadcast_parameters(self.model, ranks)
        self.inference = copy.deepcopy(self.model).eval()
        if config.compile:
            self.model.compile()
        self.objective = distribute(Objective(self.model, loss), ranks, fsdp=config.fsdp)
        self.optimizer = optimizers.build(self.model, config.optimizer)
        self.average = Ema(self.model, config.ema)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *exception: object) -> None:
        # The reducer inside must not outlive the process group: destroyed later, with Python's
        # global lock held, it waits for ever for a thread of gloo that wants the lock.
        del self.objective
        if self.ranks.size > 1:
            gc.collect()

    def update(self, micro_batches: list[MicroBatch], step: int) -> dict[str, Tensor]:
        """Do update number ``step``, from 1, and return its metrics, "loss" among them."""
        config = self.config
        optimizers.set_learning_rate(self.optimizer, self.learning_rate(step))
        metrics = self._accumulate(micro_batches, step)
        if config.max_grad_norm is not None:
            norm = clip_grad_norm_(self.model.parameters(), config.max_grad_norm)
            metrics["grad_norm"] = whole(norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.model, step)
        return metrics

    def learning_rate(self, step: int) -> float:
        """The learning rate of update number ``step``, from 1."""
        config = self.config
        return config.optimizer.lr * lr_multiplier(step - 1, config.schedule, config.steps)

    def refresh_inference(self) -> nn.Module:
        """The averaged model after loading the present average into it (every rank must call)."""
        checkpoint.load_tensors(self.inference, self.average.whole(), "running average")
        return self.inference

    def save(self, run: Path, step: int) -> None:
        """Write the averaged weights, then the state (every rank must call).

        Raises:
            UserError: the run folder cannot be written.
        """
        tensors = self.average.whole()
        if self.ranks.is_first:
            checkpoint.save_tensors(tensors, run / checkpoint.WEIGHTS, step=step)
        checkpoint.save_state(self.state(), run, step, self.ranks)

    def load(self, run: Path, step: int) -> None:
        """Take up the state that was saved at ``step`` (every rank must call).

        Raises:
            UserError: the state is corrupt or of another architecture.
        """
        checkpoint.load_state(self.state(), run, step, self.ranks)

    def state(self) -> dict[str, Tensor]:
        """The live tensors that a checkpoint holds, by name: filling them is loading one."""
        groups = {
            "model": named_tensors(self.model),
            "ema": self.average.tensors,
            "optimizer": optimizers.state_tensors(self.optimizer, self.model),
        }
        return {f"{group}.{name}": t for group, ts in groups.items() for name, t in ts.items()}

    def _accumulate(self, micro_batches: list[MicroBatch], step: int) -> dict[str, Tensor]:
        """Add up the gradients of a batch; return its mean metrics."""
        count = len(micro_batches)
        totals: dict[str, Tensor] = {}
        for position, micro_batch in enumerate(micro_batches):
            with accumulating(self.objective, last=position == count - 1):
                loss, metrics = self._evaluate(micro_batch, step)
                (loss / count).backward()
            for name, value in {**metrics, "loss": loss}.items():
                value = torch.as_tensor(value, device=self.ranks.device).detach().float() / count
                totals[name] = totals[name] + value if name in totals else value
        return totals

    def _evaluate(self, micro_batch: MicroBatch, step: int) -> tuple[Float[Tensor, ""], Metrics]:
        """Loss and metrics; all that is random in them depends on seed, step and index alone."""
        config, device = self.config, self.ranks.device
        place = (config.seed, step, micro_batch.first_index)
        with (
            isolated(derive(*place, 1), device),
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.bfloat16),
        ):
            result: tuple[Tensor, Metrics] = self.objective(
                micro_batch.tensors, generator(*place, device=device)
            )
        return result

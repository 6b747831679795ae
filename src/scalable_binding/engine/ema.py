"""Exponential moving average of a model's weights and buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scalable_binding.engine.dtensor import local, whole
from scalable_binding.engine.fit_config import EmaConfig


class Ema:
    """The average of a model's state: w_ema = decay * w_ema + (1 - decay) * w after each step.

    Floating buffers (statistics of batch norms) are averaged like weights, so that both belong
    together; counters are copied. Parts of sharded models are averaged where they are.
    """

    def __init__(self, model: nn.Module, config: EmaConfig) -> None:
        self.config = config
        self.tensors = {name: t.detach().clone() for name, t in named_tensors(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the model's weights after ``step`` updates, counted from 1."""
        decay = decay_at(step, self.config)
        averaged, current = [], []
        for name, tensor in named_tensors(model).items():
            if tensor.is_floating_point():
                averaged.append(local(self.tensors[name]))
                current.append(local(tensor))
            else:
                self.tensors[name].copy_(tensor)
        torch._foreach_lerp_(averaged, current, 1 - decay)

    def whole(self) -> dict[str, Tensor]:
        """The averaged tensors by name, sharded ones put together (every rank must call)."""
        return {name: whole(tensor) for name, tensor in self.tensors.items()}


def decay_at(step: int, config: EmaConfig) -> float:
    """The share of the old average that step number ``step``, from 1, keeps."""
    return min(config.decay, (1 + step) / (10 + step)) if config.warm_up else config.decay


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The live parameters and persistent buffers by name; a shared tensor has its first name."""
    first_names: dict[int, str] = {}
    state = model.state_dict(keep_vars=True)
    for name, tensor in state.items():
        first_names.setdefault(id(tensor), name)
    return {name: state[name].detach() for name in first_names.values()}

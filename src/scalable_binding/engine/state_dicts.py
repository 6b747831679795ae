"""State dicts made of the state dicts of parts, with dots in the names of their tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def join(parts: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of all parts, each under ``part.name``."""
    return {f"{part}.{name}": t for part, tensors in parts.items() for name, t in tensors.items()}


def part(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one part by their own names; none where there is no such part."""
    prefix = f"{name}."
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def init_adam_state(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The state tensors of Adam, made before its first step, so that a state dict can hold them."""
    found: dict[str, Tensor] = {}
    for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
        own = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        optimizer.state[parameter] = own
        found |= {f"{number}.{name}": tensor for name, tensor in own.items()}
    return found

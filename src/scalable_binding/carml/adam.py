"""The state of small optimizers beside the agent's, in a form that a run can resume from."""

from __future__ import annotations

import torch
from torch import Tensor


def keep_adam(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """The tensors that Adam keeps, made before its first step, so that a state can hold them."""
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

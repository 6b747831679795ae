"""What optimizers share that treat matrices unlike vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Moved = tuple[Tensor, Tensor, int]
"""A parameter, its gradient, and how many matrices it stacks along its first dimension."""


class AdaptiveOptimizer(Optimizer):
    """Steps group by group; a group says whether to ``adapt`` and how many ``slices`` each stacks.

    Args:
        params: parameters, or groups of them.
        lr, betas, eps, weight_decay: as the optimizer that derives from this one has them.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float],
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "adapt": True, "slices": None})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        assert closure is None, "a closure is not needed"
        for group in self.param_groups:
            slices = group["slices"] or [1] * len(group["params"])
            pairs = zip(group["params"], slices, strict=True)
            moved = [(p, p.grad, count) for p, count in pairs if p.grad is not None]
            if moved:
                self._step_group(moved, group)

    def allocate(self) -> None:
        """Make the state of every parameter that has none yet: zeros."""
        for group in self.param_groups:
            for parameter in group["params"]:
                self._state_of(parameter, group)

    def _step_group(self, moved: list[Moved], group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _state_of(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        raise NotImplementedError

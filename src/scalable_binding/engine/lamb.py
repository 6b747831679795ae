"""LAMB: Adam whose step on each matrix is scaled to the norm of that matrix."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from scalable_binding.engine.adaptive import AdaptiveOptimizer, Moved
from scalable_binding.engine.dtensor import held_rows, is_sharded, local


class Lamb(AdaptiveOptimizer):
    r"""LAMB with bias correction.

    For a weight :math:`w` with gradient :math:`g` at step :math:`t`:

    .. math::
        m &= \beta_1 m + (1 - \beta_1) g \qquad v = \beta_2 v + (1 - \beta_2) g^2 \\
        u &= \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda w \\
        w &= w - \eta \frac{\|w\|}{\|u\|} u

    The trust ratio :math:`\|w\| / \|u\|` is 1 where a norm is zero, and in groups with
    ``adapt=False``. A group's ``slices`` counts, for each of its parameters, the matrices stacked
    along the first dimension; each of them has its own ratio. Sharded parameters (DTensors cut
    along the first dimension) get the ratios of the whole.

    Source: You et al., Large Batch Optimization for Deep Learning, 2020, Alg. 2.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)

    def _step_group(self, moved: list[Moved], group: dict[str, Any]) -> None:
        parameters = [p for p, _, _ in moved]
        weights = [local(p) for p in parameters]
        updates = self._directions(moved, weights, group)
        if group["adapt"]:
            _adapt(parameters, weights, updates, [count for _, _, count in moved])
        torch._foreach_add_(weights, updates, alpha=-group["lr"])

    def _directions(
        self, moved: list[Moved], weights: list[Tensor], group: dict[str, Any]
    ) -> list[Tensor]:
        """The updates u before adaptation, of this rank's part of each parameter."""
        beta1, beta2 = group["betas"]
        states = [self._state_of(p, group) for p, _, _ in moved]
        gradients = [local(gradient) for _, gradient, _ in moved]
        means = [local(state["exp_avg"]) for state in states]
        squares = [local(state["exp_avg_sq"]) for state in states]
        steps = [state["step"].add_(1) for state in states]

        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        # Steps are counted on the CPU, so that reading them waits for no device.
        deviations = torch._foreach_sqrt(squares)
        torch._foreach_div_(deviations, [(1 - beta2 ** float(t)) ** 0.5 for t in steps])
        torch._foreach_add_(deviations, group["eps"])
        updates = torch._foreach_div(means, [1 - beta1 ** float(t) for t in steps])
        torch._foreach_div_(updates, deviations)
        if group["weight_decay"] > 0:
            torch._foreach_add_(updates, weights, alpha=group["weight_decay"])
        return list(updates)

    def _state_of(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state


def _adapt(
    parameters: list[Tensor], weights: list[Tensor], updates: list[Tensor], slices: list[int]
) -> None:
    """Multiply each slice of the updates by its trust ratio."""
    weight_parts, update_parts = [], []
    for parameter, weight, update, count in zip(parameters, weights, updates, slices, strict=True):
        for rows in _slice_rows(parameter, count):
            weight_parts.append(weight[rows] if count > 1 else weight)
            update_parts.append(update[rows] if count > 1 else update)
    norms = torch.stack([_norms(weight_parts), _norms(update_parts)])
    first = parameters[0]
    if is_sharded(first):
        squares = norms.square()
        dist.all_reduce(squares, group=first.device_mesh.get_group())
        norms = squares.sqrt()
    weight_norms, update_norms = norms
    defined = (weight_norms > 0) & (update_norms > 0)
    ratios = torch.where(defined, weight_norms / update_norms, 1.0)
    torch._foreach_mul_(update_parts, list(ratios.unbind()))


def _norms(parts: list[Tensor]) -> Tensor:
    return torch.stack(list(torch._foreach_norm(parts)))


def _slice_rows(parameter: Tensor, count: int) -> list[slice]:
    """The rows of this rank's part of a parameter that belong to each of its stacked matrices."""
    height = parameter.shape[0] // count
    first, last = held_rows(parameter)
    bounds = [min(max(i * height, first), last) - first for i in range(count + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(bounds)]

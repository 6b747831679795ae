"""Muon: momentum whose step on a matrix is as long in every direction; AdamW for all else.

PyTorch has a Muon too, which takes nothing but matrices, whole and unstacked, and moves them one by
one: in networks like these it would take q, k and v for one matrix.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim.adamw import adamw

from scalable_binding.engine.adaptive import AdaptiveOptimizer, Moved
from scalable_binding.engine.dtensor import held_rows, local, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of ``a s + b s^3 + c s^5``, which brings any singular value s in (0, 1] near 1."""

ITERATIONS = 5
NORM_FLOOR = 1e-7

ADAM_RMS = 0.2
"""Root mean square of Adam's usual update, to which updates of matrices are scaled."""


class Muon(AdaptiveOptimizer):
    r"""Muon with Nesterov's momentum for matrices, AdamW for all else, at one learning rate.

    For a weight :math:`w` of shape (rows, columns) with gradient :math:`g`:

    .. math::
        m &= \beta_1 m + (1 - \beta_1) g \qquad u = \beta_1 m + (1 - \beta_1) g \\
        w &= w - \eta \lambda w - 0.2 \, \eta \sqrt{\max(rows, columns)} \; \mathrm{orth}(u)

    where orth brings all singular values near 1 and keeps the singular vectors. Parameters of other
    than two dimensions, and those in groups with ``adapt=False``, move as under AdamW. A group's
    ``slices`` counts, for each of its parameters, the matrices stacked along the first dimension;
    each of them is orthogonalized by itself. Sharded parameters (DTensors cut along the first
    dimension) are gathered for it.

    Args:
        params: parameters, or groups of them.
        lr: eta.
        betas: beta 1, and AdamW's second one.
        eps: of AdamW.
        weight_decay: lambda, decoupled.
        precision: in which matrices are orthogonalized.

    Source: Jordan et al., Muon, 2024; the factor is that of Liu et al., Muon is Scalable for LLM
    Training, 2025, Eq. 4.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        precision: torch.dtype = torch.bfloat16,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
        self.precision = precision

    def _step_group(self, moved: list[Moved], group: dict[str, Any]) -> None:
        self._step_matrices([one for one in moved if _is_matrix(one[0], group)], group)
        self._step_others([one for one in moved if not _is_matrix(one[0], group)], group)

    def _step_matrices(self, moved: list[Moved], group: dict[str, Any]) -> None:
        beta, lr = group["betas"][0], group["lr"]
        directions: list[Tensor] = []
        for parameter, gradient, count in moved:
            mean = self._state_of(parameter, group)["exp_avg"]
            mean.lerp_(gradient, 1 - beta)
            directions.extend(whole(torch.lerp(gradient, mean, beta)).chunk(count))
        updates = iter(_orthogonalize(directions, self.precision))
        for parameter, _, count in moved:
            update = torch.cat(list(itertools.islice(updates, count)))
            first, last = held_rows(parameter)
            rows, columns = parameter.shape
            length = ADAM_RMS * math.sqrt(max(rows // count, columns))
            weight = local(parameter).mul_(1 - lr * group["weight_decay"])
            weight.sub_(update[first:last], alpha=lr * length)

    def _step_others(self, moved: list[Moved], group: dict[str, Any]) -> None:
        states = [self._state_of(p, group) for p, _, _ in moved]
        adamw(
            [local(p) for p, _, _ in moved],
            [local(gradient) for _, gradient, _ in moved],
            [local(state["exp_avg"]) for state in states],
            [local(state["exp_avg_sq"]) for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )

    def _state_of(self, parameter: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["exp_avg"] = torch.zeros_like(parameter)
            if not _is_matrix(parameter, group):
                state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] = torch.zeros((), device=parameter.device)
        return state


def _is_matrix(parameter: Tensor, group: dict[str, Any]) -> bool:
    return group["adapt"] and parameter.ndim == 2


def _orthogonalize(matrices: list[Tensor], precision: torch.dtype) -> list[Tensor]:
    """Each matrix with its singular values brought near 1, those of one shape in one product."""
    places = defaultdict(list)
    for place, matrix in enumerate(matrices):
        places[matrix.shape].append(place)
    found = list(matrices)
    for alike in places.values():
        together = torch.stack([matrices[place] for place in alike])
        for place, result in zip(alike, _iterate(together.to(precision)), strict=True):
            found[place] = result.to(matrices[place].dtype)
    return found


def _iterate(x: Float[Tensor, "k rows columns"]) -> Float[Tensor, "k rows columns"]:
    """The Newton-Schulz iteration ``x = a x + b (x x') x + c (x x')^2 x`` on the short side."""
    if x.shape[-2] > x.shape[-1]:
        return _iterate(x.mT).mT
    a, b, c = COEFFICIENTS
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=NORM_FLOOR)
    for _ in range(ITERATIONS):
        squares = x @ x.mT
        factors = torch.baddbmm(squares, squares, squares, beta=b, alpha=c)
        x = torch.baddbmm(x, factors, x, beta=a)
    return x

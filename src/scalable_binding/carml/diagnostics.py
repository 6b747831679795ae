"""Whether tasks are many and distinct, and where the agent goes for them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from scalable_binding.errors import UserError


def cells(
    positions: Float[Tensor, "*b 2"], limits: tuple[float, float], num: int = 10
) -> Int64[Tensor, "*b"]:
    """The cell, row by row, of positions in a square that is cut into ``num`` x ``num``."""
    low, high = limits
    if not low < high or num < 1:
        raise UserError(
            "cells of a square", expected="low < high, num >= 1", got=f"{limits}, {num}"
        )
    places = ((positions - low) / (high - low) * num).long().clamp(0, num - 1)
    return places[..., 1] * num + places[..., 0]


def coverage(visited: Int64[Tensor, "*b"], num_cells: int) -> float:
    """The share of cells that were visited."""
    return len(visited.unique()) / num_cells


def joint_counts(
    tasks: Int64[Tensor, " n"], visited: Int64[Tensor, "n t"], num_tasks: int, num_cells: int
) -> Float[Tensor, "k c"]:
    """How often each cell was visited for each task."""
    counts = torch.zeros(num_tasks * num_cells, dtype=torch.float64)
    places = (tasks[:, None] * num_cells + visited).flatten()
    counts.index_add_(0, places, torch.ones(len(places), dtype=torch.float64))
    return counts.view(num_tasks, num_cells)


def mutual_information(joint: Float[Tensor, "k c"]) -> float:
    """I(z; s) = H(s) - H(s|z) in nats, of counts or probabilities of tasks and cells."""
    shares = joint.double() / joint.sum()
    return float(_entropy(shares.sum(0)) + _entropy(shares.sum(1)) - _entropy(shares))


def effective_number(shares: Float[Tensor, " k"]) -> float:
    """The exponential of the entropy: how many equally likely tasks would be as undecided."""
    return float(_entropy(shares / shares.sum()).exp())


def occupancy(labels: Int64[Tensor, " n"], num_tasks: int) -> float:
    """The effective number of tasks that trajectories belong to."""
    return effective_number(torch.bincount(labels, minlength=num_tasks).double())


def _entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares).sum()

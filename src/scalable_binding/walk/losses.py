"""Losses of walks whose ends are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

IGNORE = -1
"""Target of a node that has no counterpart, and no part in the loss."""


class WalkLoss(NamedTuple):
    """Loss and accuracy of one walk, each a mean over the nodes that have a target."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, ""]


class CycleLosses(NamedTuple):
    """Losses and accuracies of palindromes, entry k - 1 for those of k steps out and k back."""

    losses: Float[Tensor, " k"]
    accuracies: Float[Tensor, " k"]


def walk_loss(
    walk: Float[Tensor, "b n m"], targets: Int64[Tensor, "b n"], eps: float = 1e-20
) -> WalkLoss:
    """Return -log(P(X_end = target | X_start) + eps) and how often the target is the likeliest end.

    Computed in float32 at least, also within autocast. If no node has a target both are zero.

    Args:
        walk: row-stochastic matrices from each node (row) to the nodes of the last frame.
        targets: for each row the column where its walker should end, or -1 to ignore the row.
        eps: bounds the loss of a walk that never reaches its target.

    Raises:
        ValueError: a target that is no column.

    Source: Thesis Eq. 3.3.
    """
    _check_targets(targets, num_ends=walk.shape[-1])
    return _score(walk, targets, eps)


def cycle_losses(
    returns: Sequence[Float[Tensor, "b n m"]],
    targets: Int64[Tensor, "b n"] | None = None,
    eps: float = 1e-20,
) -> CycleLosses:
    """Return the loss and the accuracy of each palindrome; the mean of the losses is the objective.

    The thesis sums over lengths; losses are kept apart here so that the caller can take the mean,
    which leaves the learning rate independent of the clip's length.

    Args:
        returns: walks from frame 0 and back, by length, as `palindromes` gives them.
        targets: where each walker should come home to (-1: ignore); its own node by default.
        eps: bounds the loss of a walker that is lost.

    Raises:
        ValueError: no walks, or a target that is no column.

    Source: Thesis Eq. 3.4.
    """
    if not returns:
        raise ValueError("returns: expected at least one walk, got none")
    if targets is None:
        b, n, _ = returns[0].shape
        targets = torch.arange(n, device=returns[0].device).expand(b, n)
    else:
        _check_targets(targets, num_ends=returns[0].shape[-1])
    losses, accuracies = zip(*(_score(walk, targets, eps) for walk in returns), strict=True)
    return CycleLosses(torch.stack(losses), torch.stack(accuracies))


def _check_targets(targets: Int64[Tensor, "b n"], num_ends: int) -> None:
    lowest, highest = int(targets.min()), int(targets.max())
    if lowest < IGNORE or highest >= num_ends:
        raise ValueError(
            f"targets: expected values from {IGNORE} to {num_ends - 1}, got {lowest} to {highest}"
        )


def _score(walk: Float[Tensor, "b n m"], targets: Int64[Tensor, "b n"], eps: float) -> WalkLoss:
    walk = walk if walk.dtype == torch.float64 else walk.float()
    known = targets != IGNORE
    reached = walk.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    correct = walk.argmax(dim=-1) == targets
    return WalkLoss(_mean(-torch.log(reached + eps), known), _mean(correct.to(walk.dtype), known))


def _mean(values: Float[Tensor, "b n"], known: Bool[Tensor, "b n"]) -> Float[Tensor, ""]:
    return (values * known).sum() / known.sum().clamp(min=1)

"""Precision and recall of generated samples: quality and variety, told apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Shares in [0, 1], but for the density, which may be above 1.

    Attributes:
        precision: share of samples inside the ball of some real one.
        recall: share of real ones inside the ball of some sample.
        density: balls of real ones that a sample lies in, over k: unlike precision, hardly raised
            by the few wide balls of outliers.
        coverage: share of real ones with a sample in their ball.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Float[Tensor, "n d"],
    generated: Float[Tensor, "m d"],
    *,
    num_neighbors: int = 3,
    rows: int = 1024,
) -> PrecisionRecall:
    """How much of each set lies inside the balls around the other one's features.

    The ball of a feature reaches to its ``num_neighbors``-th nearest neighbor of the same set.

    Args:
        real, generated: features; equal numbers of both, or the shares cannot be compared.
        num_neighbors: k.
        rows: of the distance matrix at once, which bounds memory.

    Raises:
        UserError: a set has no more samples than ``num_neighbors``.

    Source: Kynkäänniemi et al., 2019; density and coverage by Naeem et al., 2020.
    """
    fewest = min(len(real), len(generated))
    if fewest <= num_neighbors:
        expected = f"more than {num_neighbors} samples"
        raise UserError("precision and recall", expected=expected, got=str(fewest))
    around_real, covered = _count_balls(generated, real, num_neighbors, rows)
    around_generated, _ = _count_balls(real, generated, num_neighbors, rows)
    return PrecisionRecall(
        precision=float((around_real > 0).double().mean()),
        recall=float((around_generated > 0).double().mean()),
        density=float(around_real.double().mean()) / num_neighbors,
        coverage=float(covered.double().mean()),
    )


def _count_balls(
    points: Float[Tensor, "m d"], centers: Float[Tensor, "n d"], k: int, rows: int
) -> tuple[Int64[Tensor, " m"], Bool[Tensor, " n"]]:
    """In how many centers' balls each point lies, and which balls hold a point."""
    centers = centers.double()
    # The nearest to a center is the center itself.
    radii = torch.cat(
        [_squares(part, centers).kthvalue(k + 1).values for part in centers.split(rows)]
    )
    counts, held = [], torch.zeros(len(centers), dtype=torch.bool, device=centers.device)
    for part in points.double().split(rows):
        inside = _squares(part, centers) <= radii
        counts.append(inside.sum(dim=1))
        held |= inside.any(dim=0)
    return torch.cat(counts), held


def _squares(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared distances, by one matrix product."""
    norms = first.square().sum(dim=1, keepdim=True) + second.square().sum(dim=1)
    return (norms - 2 * first @ second.T).clamp(min=0)

"""Precision and recall of generated samples: quality and coverage, told apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class PrecisionRecall:
    """Shares in [0, 1]: of samples that look real, and of real ones that could be sampled."""

    precision: float
    recall: float


def precision_recall(
    real: Float[Tensor, "n d"],
    generated: Float[Tensor, "m d"],
    *,
    num_neighbours: int = 3,
    rows: int = 1024,
) -> PrecisionRecall:
    """Shares of each set inside the balls around the other one's features.

    The ball of a feature reaches to its ``num_neighbours``-th nearest neighbour of the same set.

    Args:
        real, generated: features; equal numbers of both, or the shares cannot be compared.
        num_neighbours: k.
        rows: of the distance matrix at once, which bounds memory.

    Raises:
        UserError: a set has no more samples than ``num_neighbours``.

    Source: Kynkäänniemi et al., 2019.
    """
    fewest = min(len(real), len(generated))
    if fewest <= num_neighbours:
        expected = f"more than {num_neighbours} samples"
        raise UserError("precision and recall", expected=expected, got=str(fewest))
    inside_real = _are_covered(generated, real, num_neighbours, rows)
    inside_generated = _are_covered(real, generated, num_neighbours, rows)
    return PrecisionRecall(
        precision=float(inside_real.double().mean()),
        recall=float(inside_generated.double().mean()),
    )


def _are_covered(
    points: Float[Tensor, "m d"], centres: Float[Tensor, "n d"], k: int, rows: int
) -> Bool[Tensor, " m"]:
    """Whether points lie within the ball of at least one centre."""
    centres = centres.double()
    # The nearest to a centre is the centre itself.
    radii = torch.cat(
        [_squares(part, centres).kthvalue(k + 1).values for part in centres.split(rows)]
    )
    return torch.cat(
        [(_squares(part, centres) <= radii).any(dim=1) for part in points.double().split(rows)]
    )


def _squares(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    """Squared distances, by one matrix product."""
    norms = first.square().sum(dim=1, keepdim=True) + second.square().sum(dim=1)
    return (norms - 2 * first @ second.T).clamp(min=0)

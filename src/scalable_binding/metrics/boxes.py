"""Overlap and distance of boxes, apart for objects that are seen and such as are hidden."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def overlaps(
    predictions: Float[Tensor, "*s 4"], truths: Float[Tensor, "*s 4"]
) -> Float[Tensor, "*s"]:
    """Intersection over union of boxes x0, y0, x1, y1; 0 where a prediction is NaN (it is lost)."""
    low = torch.maximum(predictions[..., :2], truths[..., :2])
    high = torch.minimum(predictions[..., 2:], truths[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    union = _areas(predictions) + _areas(truths) - shared
    return torch.where(union > 0, shared / union, 0.0).nan_to_num(nan=0.0)


def distances(
    predictions: Float[Tensor, "*s 4"], truths: Float[Tensor, "*s 4"]
) -> Float[Tensor, "*s"]:
    """Distances between the middles of boxes, in their units; infinite where one is lost."""
    gap = (predictions[..., :2] + predictions[..., 2:] - truths[..., :2] - truths[..., 2:]) / 2
    return torch.linalg.vector_norm(gap, dim=-1).nan_to_num(nan=torch.inf)


def by_state(
    values: Float[Tensor, "n"], states: Int64[Tensor, "n"], names: Sequence[str]
) -> dict[str, float]:
    """The mean value in each state that occurs, and over all but the first under ``hidden``.

    Args:
        values: of a box in a frame.
        states: their states, positions in ``names``; the first of these is being visible.
        names: of the states, as LA-CATER has them.
    """
    means = {}
    for state, name in enumerate(names):
        if bool((chosen := states == state).any()):
            means[name] = float(values[chosen].mean())
    if bool((states > 0).any()):
        means["hidden"] = float(values[states > 0].mean())
    return means


def _areas(boxes: Float[Tensor, "*s 4"]) -> Float[Tensor, "*s"]:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(dim=-1)

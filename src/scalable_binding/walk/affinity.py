"""Affinities between the nodes of two frames."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

DROPPED = -1e20
"""Similarity of a dropped edge: finite, so that a row without edges is uniform and not NaN."""


def similarity(a: Float[Tensor, "b n d"], b: Float[Tensor, "b m d"]) -> Float[Tensor, "b n m"]:
    """Return the inner products of all pairs of nodes.

    Args:
        a: features of the nodes that a walker leaves, l2-normalized along ``d``.
        b: features of the nodes that it may go to, l2-normalized along ``d``.

    Source: Thesis 3.2, d_phi.
    """
    return torch.einsum("bnd,bmd->bnm", a, b)


def transition(
    similarity: Float[Tensor, "b n m"],
    temperature: float,
    edge_dropout: float = 0.0,
    generator: Generator | None = None,
) -> Float[Tensor, "b n m"]:
    """Return the probabilities of one step: a softmax of each row, so that rows sum to one.

    Args:
        similarity: of each node (row) to each node of the next frame (column).
        temperature: divides the similarities; the lower, the harder the choice.
        edge_dropout: rate at which edges are removed before the softmax. Every call draws its own
            edges, so the two directions between a pair of frames lose different ones.
        generator: source of the dropped edges; needed when ``edge_dropout`` is above zero.

    Raises:
        ValueError: a temperature or a rate out of range, or dropout without a generator.

    Source: Thesis Eq. 3.1; edge dropout: 3.2.2.
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected a number above 0, got {temperature}")
    if not 0 <= edge_dropout < 1:
        raise ValueError(f"edge_dropout: expected a rate in [0, 1), got {edge_dropout}")
    if edge_dropout > 0:
        dropped = _draw_edges(similarity, edge_dropout, generator)
        similarity = similarity.masked_fill(dropped, DROPPED)
    return torch.softmax(similarity / temperature, dim=-1)


def _draw_edges(
    similarity: Float[Tensor, "b n m"], rate: float, generator: Generator | None
) -> Bool[Tensor, "b n m"]:
    """Return which edges are dropped, drawn where the generator lives."""
    if generator is None:
        raise ValueError("edge_dropout: expected a torch.Generator to draw edges with, got None")
    draws = torch.rand(similarity.shape, generator=generator, device=generator.device)
    return (draws < rate).to(similarity.device)

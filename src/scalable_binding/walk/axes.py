"""Fewer numbers a node: features along the axes that tell the nodes of a frame apart."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


def principal_axes(features: Float[Tensor, "d h w"], count: int) -> Float[Tensor, "k d"] | None:
    """Return the ``count`` orthonormal axes that keep most of all similarities in a frame.

    They are the leading eigenvectors of ``X^T X``, X the frame's nodes as rows: of all projections
    to so few numbers, this one changes the matrix ``X X^T`` of similarities least (Eckart & Young,
    1936). None if there are no more than ``count`` features to begin with.
    """
    if len(features) <= count:
        return None
    nodes = rearrange(features, "d h w -> (h w) d")
    _, axes = torch.linalg.eigh((nodes.mT @ nodes).double())  # in rising order
    return rearrange(axes[:, -count:], "d k -> k d").flip(0).to(features.dtype)


def project(
    features: Float[Tensor, "d h w"], axes: Float[Tensor, "k d"] | None
) -> Float[Tensor, "k h w"]:
    """Return each node's coordinates along the axes; without axes the features themselves.

    They lie channels last in memory, as `top_neighbors` reads them fastest.
    """
    nodes = rearrange(features, "d h w -> h w d")
    nodes = nodes.contiguous() if axes is None else nodes @ axes.mT
    return rearrange(nodes, "h w k -> k h w")

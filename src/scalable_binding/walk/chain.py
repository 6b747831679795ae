"""Walks of many steps: chains of transitions, and palindromes that lead home."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.walk.affinity import similarity, transition


def chain(transitions: Sequence[Float[Tensor, "b _ _"]]) -> Float[Tensor, "b n m"]:
    """Return P(X_{t+k} | X_t), the product of k steps, multiplied left to right.

    Args:
        transitions: row-stochastic matrices; the columns of one are the rows of the next.

    Raises:
        ValueError: no transition.

    Source: Thesis Eq. 3.2.
    """
    if not transitions:
        raise ValueError("transitions: expected at least one, got none")
    walk = transitions[0]
    for step in transitions[1:]:
        walk = walk @ step
    return walk


def palindromes(
    frames: Sequence[Float[Tensor, "b n d"]],
    temperature: float,
    edge_dropout: float = 0.0,
    generator: Generator | None = None,
    home: Float[Tensor, "b m d"] | None = None,
) -> list[Float[Tensor, "b n m"]]:
    """Return the walks from frame 0 to frame k and back again, for k = 1 .. t-1.

    With F_k = A_0^1 .. A_{k-1}^k and B_k = A_k^{k-1} .. A_1^0, return k is F_k B_k. Both products
    grow by one step from k to k + 1, so all sub-cycles together take 3 (t - 1) products.

    Computed in float32 at least, also within autocast: errors compound along a chain.

    Args:
        frames: nodes of each of the t frames of a clip, l2-normalized along ``d``.
        temperature: of every step.
        edge_dropout: rate at which each directed edge is removed, independently of its reverse.
        generator: source of the dropped edges; needed when ``edge_dropout`` is above zero.
        home: nodes that walkers come home to, when these are another view of frame 0 than the one
            they left; frame 0 itself by default.

    Raises:
        ValueError: fewer than two frames, or an option that `transition` refuses.

    Source: Thesis Eq. 3.4 with t = 0; 3.2.2.
    """
    if len(frames) < 2:
        raise ValueError(f"frames: expected a clip of at least 2, got {len(frames)}")

    def step(edges: Float[Tensor, "b _ _"]) -> Float[Tensor, "b _ _"]:
        return transition(edges, temperature, edge_dropout, generator)

    with torch.autocast(frames[0].device.type, enabled=False):
        frames = [_at_least_float32(frame) for frame in frames]
        last = frames[0] if home is None else _at_least_float32(home)
        forward = step(similarity(frames[0], frames[1]))
        backward = step(similarity(frames[1], last))
        returns = [forward @ backward]
        for k in range(2, len(frames)):
            edges = similarity(frames[k - 1], frames[k])
            forward = forward @ step(edges)
            backward = step(edges.mT) @ backward
            returns.append(forward @ backward)
    return returns


def _at_least_float32(features: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    return features if features.dtype == torch.float64 else features.float()

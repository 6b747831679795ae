"""Advantages of one trial, in plain numbers: a sum over what follows, written out."""

from __future__ import annotations


def advantages(
    rewards: list[float],
    values: list[float],
    active: list[bool],
    discount: float,
    gae_lambda: float,
) -> list[float]:
    """A_t = sum_l (gamma lambda)^l delta_{t+l} over the active steps; 0 at the others."""
    steps = [t for t, counts in enumerate(active) if counts]
    deltas = []
    for place, t in enumerate(steps):
        following = values[steps[place + 1]] if place + 1 < len(steps) else 0.0
        deltas.append(rewards[t] + discount * following - values[t])
    found = [0.0] * len(rewards)
    for place, t in enumerate(steps):
        rest = deltas[place:]
        found[t] = sum((discount * gae_lambda) ** ahead * delta for ahead, delta in enumerate(rest))
    return found

"""The loss of PPO in plain numbers, one step after the other."""

from __future__ import annotations

import math


def loss(
    log_probs: list[float],
    old_log_probs: list[float],
    advantages: list[float],
    values: list[float],
    returns: list[float],
    entropies: list[float],
    *,
    clip: float,
    value_weight: float,
    entropy_weight: float,
) -> float:
    """The mean over steps of - clipped surrogate + c_v error^2 / 2 - c_e entropy."""
    total = 0.0
    for new, old, advantage, value, target, entropy in zip(
        log_probs, old_log_probs, advantages, values, returns, entropies, strict=True
    ):
        ratio = math.exp(new - old)
        clipped = min(max(ratio, 1 - clip), 1 + clip)
        total -= min(ratio * advantage, clipped * advantage)
        total += value_weight * (value - target) ** 2 / 2 - entropy_weight * entropy
    return total / len(values)

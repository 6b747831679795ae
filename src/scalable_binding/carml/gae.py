"""Generalized advantage estimation (GAE)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Estimates(NamedTuple):
    """Of every step: the advantage of its action, and the return that its value is to predict."""

    advantages: Float[Tensor, "b t"]
    returns: Float[Tensor, "b t"]


def gae(
    rewards: Float[Tensor, "b t"],
    values: Float[Tensor, "b t"],
    active: Bool[Tensor, "b t"],
    *,
    discount: float,
    gae_lambda: float,
) -> Estimates:
    """Generalized advantage estimates over whole trials.

        delta_t = r_t + gamma V_{t+1} - V_t
        A_t = delta_t + gamma lambda A_{t+1}

    A trial is one sequence: later episodes count in what an earlier one is worth, so that
    exploring pays; nothing follows its last step. Steps after an early end of an episode
    are skipped: they have no advantage, and the step before them sees the next episode's first.

    Args:
        rewards: r_t, for action t.
        values: V_t, before action t.
        active: False at steps that an episode's early end left without effect.
        discount: gamma.
        gae_lambda: lambda.

    Source: Schulman et al., High-Dimensional Continuous Control Using Generalized Advantage
    Estimation, 2016; over a trial as in RL^2 (Duan et al., 2016).
    """
    advantages = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(following)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + discount * next_value - values[:, t]
        here = delta + discount * gae_lambda * following
        following = torch.where(active[:, t], here, following)
        next_value = torch.where(active[:, t], values[:, t], next_value)
        advantages[:, t] = torch.where(active[:, t], here, 0)
    return Estimates(advantages, advantages + values)

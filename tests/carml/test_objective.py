"""The loss against plain numbers, and what is made of trials before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from carml.worlds import Cue
from reference.ppo import loss as slow_loss
from scalable_binding.carml import model, objective
from scalable_binding.carml.config import PPOConfig
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Trials, collect
from scalable_binding.carml.task_rewards import OwnReward, RunningMeanStd
from scalable_binding.engine.distributed import DistributedContext

ALONE = DistributedContext(0, 1, torch.device("cpu"))
CONFIG = PPOConfig(value_weight=0.3, entropy_weight=0.05)


def policy_and_trials() -> tuple[Policy, Trials]:
    env = Cue(5)
    decided = model.spaces_to_arguments(env.observation_space, env.action_space)
    policy = model.init_policy(0, **decided, widths=(), hidden=12, head=8)
    trials = collect(env, policy, OwnReward(), 4, torch.Generator().manual_seed(0))
    return policy, trials


def moved(policy: Policy, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch as if an older policy had acted: ratios leave the clip's range on both sides."""
    shift = torch.randn(batch["log_probs"].shape, generator=torch.Generator().manual_seed(1))
    return batch | {"log_probs": batch["log_probs"] + 0.5 * shift}


def test_the_loss_is_what_plain_numbers_say() -> None:
    policy, trials = policy_and_trials()
    batch = moved(policy, objective.batch_of(trials, CONFIG, ALONE))
    found, metrics = objective.loss(policy, batch, torch.Generator(), CONFIG)
    inputs = [batch[f"previous_{name}"] for name in ("actions", "rewards", "dones")]
    decided = policy(batch["observations"], *inputs, policy.initial_state(5))
    numbers: list[Any] = [
        policy.actions.log_prob(decided.parameters, batch["actions"]),
        batch["log_probs"],
        batch["advantages"],
        decided.values,
        batch["returns"],
        policy.actions.entropy(decided.parameters),
    ]
    expected = slow_loss(
        *[each.flatten().tolist() for each in numbers],
        clip=CONFIG.clip,
        value_weight=CONFIG.value_weight,
        entropy_weight=CONFIG.entropy_weight,
    )
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)
    assert 0.3 < metrics["clipped"] < 1


def test_beyond_the_clip_the_policy_is_not_pulled_further() -> None:
    policy, trials = policy_and_trials()
    batch = objective.batch_of(trials, CONFIG, ALONE)
    batch["advantages"] = torch.ones_like(batch["advantages"])
    batch["log_probs"] = batch["log_probs"] - 1  # every action is e times as likely as it was
    config = replace(CONFIG, value_weight=0.0, entropy_weight=0.0)
    objective.loss(policy, batch, torch.Generator(), config)[0].backward()
    assert all(p.grad is None or not p.grad.any() for p in policy.actor.parameters())


def test_values_may_be_kept_near_what_they_were() -> None:
    policy, trials = policy_and_trials()
    batch = objective.batch_of(trials, CONFIG, ALONE)
    batch["values"] = batch["values"] - 5.0
    config = replace(CONFIG, value_clip=0.1)
    free = objective.loss(policy, batch, torch.Generator(), CONFIG)[1]["loss_value"]
    kept = objective.loss(policy, batch, torch.Generator(), config)[1]["loss_value"]
    errors = (batch["values"] + 0.1 - batch["returns"]).square()
    assert kept > free
    assert float(kept) == pytest.approx(float(errors.mean() / 2), rel=1e-3)


def test_scaled_rewards_change_returns_and_not_what_the_agent_saw() -> None:
    _, trials = policy_and_trials()
    plain = objective.batch_of(trials, replace(CONFIG, gae_lambda=1.0), ALONE)
    scaled = objective.batch_of(trials, replace(CONFIG, gae_lambda=1.0, reward_scale=0.1), ALONE)
    torch.testing.assert_close(scaled["returns"], 0.1 * plain["returns"], atol=1e-5, rtol=1e-4)
    assert torch.equal(scaled["previous_rewards"], plain["previous_rewards"])


def test_advantages_are_whitened_over_the_update() -> None:
    _, trials = policy_and_trials()
    found = objective.batch_of(trials, CONFIG, ALONE)["advantages"]
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)
    assert float(found.std(correction=0)) == pytest.approx(1, abs=1e-3)
    raw = objective.batch_of(trials, replace(CONFIG, normalize=False), ALONE)["advantages"]
    assert float(raw.std()) != pytest.approx(1, abs=0.05)


def test_moments_are_those_of_all_numbers_together() -> None:
    random = torch.Generator().manual_seed(0)
    numbers = 3 + 2 * torch.randn(50, generator=random)
    reward_stats = RunningMeanStd()
    assert torch.equal(reward_stats.normalize(numbers), numbers), "nothing is known yet"
    for part in numbers.split([7, 1, 42]):
        reward_stats.update(part)
    expected = (numbers - numbers.mean()) / numbers.std(correction=0)
    torch.testing.assert_close(reward_stats.normalize(numbers), expected)
    other = RunningMeanStd()
    other.load_state_dict(reward_stats.state_dict())
    other.update(numbers)
    torch.testing.assert_close(reward_stats.normalize(numbers), expected)

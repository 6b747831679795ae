"""Trials: what is carried through their episodes, and what is not carried from trial to trial."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam

from carml.worlds import Cue, Short
from scalable_binding.carml import model, objective
from scalable_binding.carml.config import PPOConfig
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Trials, collect, previous, to_environment
from scalable_binding.carml.task_rewards import NoReward, OwnReward
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.errors import UserError

ALONE = DistributedContext(0, 1, torch.device("cpu"))


def policy_for(env: BatchEnv, **changes: Any) -> Policy:
    decided = model.spaces_to_arguments(env.observation_space, env.action_space)
    return model.init_policy(0, **decided | {"widths": (), "hidden": 24, "head": 16} | changes)


def trials_of(env: BatchEnv, policy: Policy, seed: int = 0, episodes: int = 4) -> Trials:
    return collect(env, policy, OwnReward(), episodes, torch.Generator().manual_seed(seed))


def first_update(env: BatchEnv, policy: Policy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A batch of the policy's own trials, and the metrics of the loss on it."""
    config = PPOConfig()
    batch = objective.batch_of(trials_of(env, policy), config, ALONE)
    _, metrics = objective.loss(policy, batch, torch.Generator(), config)
    return batch, metrics


@pytest.mark.parametrize("recurrence", ["gru", "lstm"])
@pytest.mark.parametrize("options", [{}, {"actions": "continuous"}])
def test_the_loss_sees_what_the_agent_saw(recurrence: str, options: dict[str, str]) -> None:
    """Evaluated over whole trials, actions are as likely as they were step by step."""
    env = registry.make("maze", 6, 0, **options)
    policy = policy_for(env, recurrence=recurrence)
    batch, metrics = first_update(env, policy)
    assert float(metrics["kl"]) == pytest.approx(0, abs=1e-5)
    assert float(metrics["clipped"]) == 0
    inputs = [batch[n] for n in ("observations", "previous_actions", "previous_rewards")]
    found = policy(*inputs, batch["previous_dones"], policy.initial_state(6))
    torch.testing.assert_close(found.values, batch["values"], atol=1e-5, rtol=1e-4)


def test_a_minibatch_is_a_part_of_the_batch() -> None:
    env = registry.make("maze", 6, 0)
    policy = policy_for(env)
    batch = objective.batch_of(trials_of(env, policy), PPOConfig(), ALONE)
    config, random = PPOConfig(), torch.Generator()
    parts = [{n: t[rows] for n, t in batch.items()} for rows in ([0, 4, 2], [1, 3, 5])]
    halves = [objective.loss(policy, part, random, config)[0] for part in parts]
    whole = objective.loss(policy, batch, random, config)[0]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_nothing_leaks_from_trial_to_trial() -> None:
    """A second trial in the same environments goes as it would have gone in fresh ones."""
    env = registry.make("maze", 5, 0)
    policy = policy_for(env)
    trials_of(env, policy, seed=1)
    again, fresh = trials_of(env, policy), trials_of(registry.make("maze", 5, 0), policy)
    assert torch.equal(again.actions, fresh.actions)
    assert torch.equal(again.values, fresh.values)


def test_the_state_lives_on_through_a_trial() -> None:
    """The same observation at the start of each episode is valued by what came before."""
    trials = trials_of(registry.make("maze", 5, 0), policy_for(registry.make("maze", 5, 0)))
    assert torch.equal(trials.observations[:, 0, 0], trials.observations[:, 1, 0])
    assert not torch.isclose(trials.values[:, 0, 0], trials.values[:, 1, 0]).any()


def test_previous_rewards_and_ends_are_one_step_late() -> None:
    trials = trials_of(Cue(4), policy_for(Cue(4)))
    actions, rewards, dones = previous(trials)
    assert actions[:, 0].tolist() == [-1] * 4 and not rewards[:, 0].any()
    assert torch.equal(actions[:, 1:], trials.actions.flatten(1)[:, :-1])
    assert torch.equal(rewards[:, 1:], trials.rewards.flatten(1)[:, :-1])
    assert dones[0].tolist() == [False, False, True, False, True, False, True, False]


def test_trajectories_are_the_states_that_actions_led_to() -> None:
    env = registry.make("maze", 3, 0)
    trials = collect(env, policy_for(env), NoReward(), 2, torch.Generator().manual_seed(0))
    assert torch.equal(trials.trajectories[:, :, :-1], trials.observations[:, :, 1:])
    torch.testing.assert_close(
        trials.trajectories[:, 1, -1], 2 * env.ground_truth()["position"] / 500 - 1
    )


def test_steps_after_an_early_end_do_not_count() -> None:
    env = Short(3)
    policy = policy_for(env)
    trials = trials_of(env, policy, episodes=2)
    assert trials.active[:, 0].tolist() == [
        [True, False, False],
        [True, True, False],
        [True, True, True],
    ]
    batch = objective.batch_of(trials, PPOConfig(), ALONE)
    loss = partial(objective.loss, policy, generator=torch.Generator(), config=PPOConfig())
    expected = loss(batch)[0]
    silent = ~batch["active"]
    for name in ("returns", "log_probs", "advantages"):
        batch[name] = torch.where(silent, 7.0, batch[name])
    torch.testing.assert_close(loss(batch)[0], expected)


def test_continuous_actions_fill_the_range_of_the_environment() -> None:
    env = registry.make("maze", 2, 0, actions="continuous")
    env.action_space.low[:], env.action_space.high[:] = 0.0, 4.0
    moved = to_environment(torch.tensor([[-3.0, 0.0], [0.5, 9.0]]), env)
    assert moved.tolist() == [[0.0, 2.0], [3.0, 4.0]]


def test_rewards_that_are_no_numbers_are_refused() -> None:
    class Broken(NoReward):
        def step(self, step: Step, env: BatchEnv) -> Tensor:
            return torch.tensor([0.0, float("inf")])

    env = Cue(2)
    with pytest.raises(UserError, match="finite numbers, got inf in environment 1"):
        collect(env, policy_for(env), Broken(), 1, None)


@pytest.mark.slow
@pytest.mark.parametrize("recurrence", ["gru", "lstm"])
def test_a_cue_of_the_first_episode_is_used_in_the_last(recurrence: str) -> None:
    env = Cue(64)
    policy = policy_for(env, recurrence=recurrence)
    config = PPOConfig(epochs=4, discount=1.0, value_weight=0.5, entropy_weight=0.003)
    optimizer, random = Adam(policy.parameters(), 5e-3), torch.Generator().manual_seed(0)
    for _ in range(120):
        batch = objective.batch_of(collect(env, policy, OwnReward(), 4, random), config, ALONE)
        for _ in range(config.epochs):
            loss, _ = objective.loss(policy, batch, random, config)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(policy.parameters(), 0.5)
            optimizer.step()
    told = collect(env, policy, OwnReward(), 4, random).rewards[:, -1].mean()
    env.shows = False
    untold = collect(env, policy, OwnReward(), 4, random).rewards[:, -1].mean()
    assert told > 0.9
    assert untold < 0.5, "it knows an arm that nobody told it"

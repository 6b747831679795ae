"""E-step diagnostics: what a scaffold's rewards depend on, and whether they resemble test tasks.

Rewards are read on states of random trials, whose true position and heading are known. Nothing of
this reaches the agent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from gymnasium import spaces
from jaxtyping import Float, Int64, Shaped
from torch import Generator, Tensor

from scalable_binding.carml.config import EnvironmentConfig
from scalable_binding.carml.reward import combine
from scalable_binding.carml.rollout import StickyEnv, to_environment
from scalable_binding.carml.scaffold import Scaffold
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, GroundTruth
from scalable_binding.envs.description import Description

NUM_TASKS = 16
"""Validation tasks that rewards are compared with, and tasks drawn from a continuum."""

PLACE_CELLS = 6
"""On a side of the plane, for shares of variance."""

SECTORS = 8
"""Of a turn, for shares of variance."""

STICKINESS = 0.7
"""Probability that a random trial repeats an action: plain random walks stay near their start."""


class ProbeStates(NamedTuple):
    """States of random trials: observations (b *obs), and the true state by name (b ...)."""

    observations: Tensor
    truth: GroundTruth


@torch.no_grad()
def diagnose(
    scaffold: Scaffold,
    weight: float,
    env: BatchEnv,
    environment: EnvironmentConfig,
    num_states: int,
    generator: Generator,
) -> dict[str, float]:
    """Figures of a scaffold's rewards for the log.

    ``reward_place``, ``reward_heading``, ``reward_puck``: the share of a task's reward variance
    that goes with the cell of the position, the sector of the heading, the cell of the puck;
    ``reward_explained``: with all of them together. Chance is subtracted; means over tasks.
    ``reward_correlation``: how well the best of the tasks correlates with a validation task's
    reward, mean over validation tasks.

    Args:
        scaffold: that was just fit.
        weight: lambda.
        env: is stepped at random, between two episodes, and put back to where it was.
        environment: its name and options, which say what its plane and tasks are.
        num_states: at least as many are looked at.
        generator: of the random trials and the validation tasks.

    Returns:
        Nothing where the environment does not tell positions.
    """
    world = registry.describe(environment.name, **environment.arguments())
    if world is None:
        return {}
    probe = sample_states(env, num_states, generator)
    if "position" not in probe.truth:
        return {}
    features = scaffold.encode(probe.observations)
    num_tasks = scaffold.num_tasks
    tasks = torch.arange(num_tasks) if num_tasks else scaffold.sample_tasks(NUM_TASKS, generator)
    conditional = scaffold.log_likelihood(features, tasks)
    marginal = scaffold.marginal(features)[:, None].expand_as(conditional)
    rewards = combine(conditional, marginal, weight).double()
    figures = explain(rewards, label_factors(probe.truth, world))
    if environment.tasks is None:
        wanted = task_rewards(probe.truth, environment, generator)
        figures["reward_correlation"] = best_correlation(rewards, wanted)
    return figures


def sample_states(env: BatchEnv, num: int, generator: Generator) -> ProbeStates:
    """States of trials with random, sticky actions; the environments end where they began."""
    before = {name: tensor.clone() for name, tensor in env.state_dict().items()}
    sticky = StickyEnv(env, STICKINESS, generator)
    observations: list[Tensor] = []
    truths: list[GroundTruth] = []
    while len(truths) * env.num_envs < num:
        env.resample_world()
        sticky.reset()
        for _ in range(env.episode_length):
            step = sticky.step(to_environment(_sample_actions(env, generator), env))
            observations.append(step.observation)
            truths.append(env.ground_truth())
    env.load_state_dict(before)
    truth = {name: torch.cat([each[name] for each in truths]) for name in truths[0]}
    return ProbeStates(torch.cat(observations), truth)


def explain(
    rewards: Float[Tensor, "b k"], factors: dict[str, Int64[Tensor, " b"]]
) -> dict[str, float]:
    """The share of variance that goes with each factor, and with all, mean over tasks."""
    figures = {
        f"reward_{name}": float(explained_variance(rewards, labels).mean())
        for name, labels in factors.items()
    }
    joint = torch.zeros(len(rewards), dtype=torch.int64)
    for labels in factors.values():
        joint = joint * (int(labels.max()) + 1) + labels
    figures["reward_explained"] = float(explained_variance(rewards, joint).mean())
    return figures


def explained_variance(
    values: Float[Tensor, "b k"], labels: Int64[Tensor, " b"]
) -> Float[Tensor, " k"]:
    """Epsilon squared of each column: the variance between groups of states, less that of chance.

    1 - (1 - eta^2) (b - 1) / (b - g) for g groups that occur; 0 of a constant column.
    """
    _, groups = labels.unique(return_inverse=True)
    num, count = int(groups.max()) + 1, len(values)
    if count <= num:
        return torch.full(values.shape[1:], math.nan, dtype=torch.float64)
    centered = values.double() - values.double().mean(0)
    sizes = torch.bincount(groups, minlength=num).double()
    sums = torch.zeros(num, values.shape[1], dtype=torch.float64).index_add_(0, groups, centered)
    total = centered.square().sum(0)
    within = total - (sums.square() / sizes[:, None]).sum(0)
    share = 1 - within * (count - 1) / (total * (count - num))
    return torch.where(total > 0, share, 0.0)


def best_correlation(rewards: Float[Tensor, "b k"], wanted: Float[Tensor, "b m"]) -> float:
    """The largest correlation of a column of rewards with each wanted one, their mean."""
    first, second = (_standardized(values) for values in (rewards, wanted))
    return float((first.mT @ second / len(rewards)).amax(0).mean())


def label_factors(truth: GroundTruth, world: Description) -> dict[str, Int64[Tensor, " b"]]:
    """What rewards may depend on, as numbers of cells of the plane and sectors of a turn."""
    low, high = torch.tensor(world.low), torch.tensor(world.high)
    factors = {}
    for name, key in (("place", "position"), ("puck", "puck")):
        if key in truth:
            shares = ((truth[key] - low) / (high - low) * PLACE_CELLS).long()
            column, row = shares.clamp(0, PLACE_CELLS - 1).unbind(-1)
            factors[name] = row * PLACE_CELLS + column
    if "heading" in truth:
        turn = truth["heading"] / (2 * math.pi) % 1
        factors["heading"] = (turn * SECTORS).long().clamp(max=SECTORS - 1)
    return factors


def task_rewards(
    truth: GroundTruth, environment: EnvironmentConfig, generator: Generator
) -> Float[Tensor, "b m"]:
    """The rewards of validation tasks in states."""
    options = environment.arguments()
    name = environment.name
    tasks = registry.sample_tasks(name, NUM_TASKS, generator, "validation", **options)
    rewards = [tasks.select([number]).reward(truth) for number in range(NUM_TASKS)]
    return torch.stack(rewards, dim=1)


def _standardized(values: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    deviation, mean = torch.std_mean(values.double(), dim=0, correction=0)
    return (values.double() - mean) / deviation.clamp(min=1e-12)


def _sample_actions(env: BatchEnv, generator: Generator) -> Shaped[Tensor, "e *a"]:
    """Uniform actions, vectors in [-1, 1]."""
    space = env.action_space
    if isinstance(space, spaces.Discrete):
        return torch.randint(int(space.n), (env.num_envs,), generator=generator)
    return 2 * torch.rand(env.num_envs, math.prod(space.shape), generator=generator) - 1

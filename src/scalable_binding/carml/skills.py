"""Skills: what an agent does for its own tasks, how distinct they are, and what they cover."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from scalable_binding.carml.config import CARMLConfig, EnvironmentConfig
from scalable_binding.carml.discriminator import Discriminator, density_config
from scalable_binding.carml.inference import load, read_config
from scalable_binding.carml.model import Policy
from scalable_binding.carml.reward import ScaffoldReward, build_whitening
from scalable_binding.carml.rollout import Reward, collect
from scalable_binding.carml.round_files import Round, list_rounds, read_round
from scalable_binding.carml.scaffold import Scaffold, build_scaffold
from scalable_binding.carml.task_sources import ContextualEnv, UntoldReward, describe, wrap
from scalable_binding.engine import checkpoint
from scalable_binding.engine.log import read_log
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, GroundTruth, Step
from scalable_binding.errors import UserError

PLACE = 8
"""Of skills among the purposes of randomness."""

NUM_CELLS = 10
"""On a side of the grid that coverage and information are measured on."""


@dataclass(frozen=True)
class Skills:
    """What an agent does for the tasks of its scaffold, in the last episode of a trial.

    Attributes:
        tasks: of each trial, (e) or (e z).
        positions: where it was, (e t 2), in the environment's units.
        truths: all of the true state, (e t ...).
        figures: coverage of the plane by cells, information between task and cell (nats), and
            how many tasks are in use.
    """

    tasks: Tensor
    positions: Float[Tensor, "e t 2"]
    truths: GroundTruth
    figures: dict[str, float]


def rollout_skills(
    policy: Policy,
    scaffold: Scaffold,
    whitening: Any,
    config: CARMLConfig,
    *,
    num_trials: int = 256,
    seed: int = 0,
) -> Skills:
    """Trials of the scaffold's own tasks, and what their last episodes look like from above.

    Raises:
        UserError: an environment that does not tell positions.
    """
    settings = config.environment
    random = generator(seed, PLACE, 2)
    tasks = scaffold.sample_tasks(num_trials, random)
    inner: Reward = ScaffoldReward(scaffold, tasks, config.task_reward, whitening)
    with closing(registry.make(settings.name, num_trials, seed, **settings.arguments())) as env:
        shown = wrap(config, env)
        if isinstance(shown, ContextualEnv):
            shown.context = describe(tasks, shown.width)
            inner = UntoldReward(inner, shown.width)
        reward = _Watched(inner)
        collect(shown, policy, reward, config.curriculum.episodes, random)
    truths = {name: torch.stack([t[name] for t in reward.truths], dim=1) for name in reward.names}
    if "position" not in truths:
        expected = "an environment that tells positions"
        raise UserError("skills seen from above", expected=expected, got=settings.name)
    figures = _measure(tasks, truths["position"], settings)
    return Skills(tasks, truths["position"], truths, figures)


def rollout_round(
    run: Path, number: int | None = None, *, num_trials: int = 256, trust: bool = False
) -> Skills:
    """What the agent at the end of a round does for the tasks of that round.

    Args:
        run: of CARML.
        number: of the round, from 1; None: the last, with the agent that was selected.
        num_trials: of tasks drawn from q(z).
        trust: as :func:`read_config` has it.

    Raises:
        UserError: no such run or round.
    """
    config, policy = read_config(run, trust=trust), load(run)
    found = read_round(run, number)
    if number is not None:
        following = _following(run, number)
        if following is not None:
            checkpoint.load_tensors(policy, following.policy, run)
    scaffold, whitening = rebuild(config, policy, found)
    return rollout_skills(policy, scaffold, whitening, config, num_trials=num_trials)


def rebuild(config: CARMLConfig, policy: Policy, found: Round) -> tuple[Scaffold, Any]:
    """The scaffold of a round and what whitens its rewards.

    Raises:
        UserError: the round is of other settings.
    """
    settings = config.environment
    with closing(registry.make(settings.name, 1, 0, **settings.arguments())) as env:
        length, shape = env.episode_length, env.observation_space.shape
    if config.discriminates:
        components = config.scaffold.mixture.components
        scaffold: Scaffold = Discriminator(
            shape,
            components,
            config.discriminator,
            config.scaffold.deep_clusters,
            density_config(config),
        ).eval()
    else:
        scaffold = build_scaffold(shape, config.scaffold, length)
    whitening = build_whitening(config.task_reward, scaffold)
    try:
        scaffold.load_state_dict(found.scaffold)
        whitening.load_state_dict(found.whitening)
    except (KeyError, RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"round {found.number} does not fit the run's settings ({reason})"
        ) from error
    return scaffold, whitening


def curve(run: Path, name: str, *, trust: bool = False) -> tuple[list[int], list[float]]:
    """Environment steps and a logged figure of a run's updates (sample efficiency).

    Raises:
        UserError: the log does not have such a figure.
    """
    config = read_config(run, trust=trust)
    settings = config.environment
    with closing(registry.make(settings.name, 1, 0, **settings.arguments())) as env:
        each = config.fit.batch_size * config.curriculum.episodes * env.episode_length
    samples, values = [], []
    for entry in read_log(run):
        if isinstance(entry.get(name), int | float):
            samples.append(int(entry["step"]) * each)
            values.append(float(entry[name]))
    if not values:
        raise UserError(f"log of {run}", expected=f"figures named {name}", got="none")
    return samples, values


class _Watched:
    """A reward that notes the true states of the running episode."""

    def __init__(self, inner: Reward) -> None:
        self.inner = inner
        self.truths: list[GroundTruth] = []
        self.names: list[str] = []

    def begin(self, observation: Tensor) -> None:
        """Forget the last episode."""
        self.inner.begin(observation)
        self.truths = []

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The reward within."""
        self.truths.append(env.ground_truth())
        self.names = list(self.truths[-1])
        return self.inner.step(step, env)


def _measure(
    tasks: Tensor, positions: Float[Tensor, "e t 2"], environment: EnvironmentConfig
) -> dict[str, float]:
    """Figures of skills on a grid of 10 x 10 cells."""
    world = registry.describe(environment.name, **environment.arguments())
    if world is None:
        expected = "an environment that describes its plane"
        raise UserError("skills seen from above", expected=expected, got=environment.name)
    shift = torch.tensor(world.low)
    sides = torch.tensor(world.high) - shift
    visited = cells((positions - shift) / sides, (0.0, 1.0), NUM_CELLS)
    figures = {"coverage": coverage(visited, NUM_CELLS**2)}
    if tasks.ndim == 1:
        num = int(tasks.max()) + 1
        joint = joint_counts(tasks, visited, num, NUM_CELLS**2)
        figures["information"] = mutual_information(joint)
        figures["information_above_chance"] = figures["information"] - chance_information(
            tasks, visited, num, NUM_CELLS**2
        )
        figures["tasks_in_use"] = occupancy(tasks, num)
    return figures


def _following(run: Path, number: int) -> Round | None:
    return read_round(run, number + 1) if number + 1 in list_rounds(run) else None


def cells(
    positions: Float[Tensor, "*b 2"], limits: tuple[float, float], num: int = 10
) -> Int64[Tensor, "*b"]:
    """The cell, row by row, of positions in a square that is cut into ``num`` x ``num``."""
    low, high = limits
    if not low < high or num < 1:
        raise UserError(
            "cells of a square", expected="low < high, num >= 1", got=f"{limits}, {num}"
        )
    places = ((positions - low) / (high - low) * num).long().clamp(0, num - 1)
    return places[..., 1] * num + places[..., 0]


def coverage(visited: Int64[Tensor, "*b"], num_cells: int) -> float:
    """The share of cells that were visited."""
    return len(visited.unique()) / num_cells


def joint_counts(
    tasks: Int64[Tensor, " n"], visited: Int64[Tensor, "n t"], num_tasks: int, num_cells: int
) -> Float[Tensor, "k c"]:
    """How often each cell was visited for each task."""
    counts = torch.zeros(num_tasks * num_cells, dtype=torch.float64)
    places = (tasks[:, None] * num_cells + visited).flatten()
    counts.index_add_(0, places, torch.ones(len(places), dtype=torch.float64))
    return counts.view(num_tasks, num_cells)


def mutual_information(joint: Float[Tensor, "k c"]) -> float:
    """I(z; s) = H(s) - H(s|z) in nats, of counts or probabilities of tasks and cells."""
    shares = joint.double() / joint.sum()
    return float(_entropy(shares.sum(0)) + _entropy(shares.sum(1)) - _entropy(shares))


def chance_information(
    tasks: Int64[Tensor, " n"],
    visited: Int64[Tensor, "n t"],
    num_tasks: int,
    num_cells: int,
    *,
    shuffles: int = 20,
) -> float:
    """The mutual information (nats) that chance alone would give, with tasks shuffled.

    Estimates from few samples are too high: by .42 nats for 256 trials of 16 tasks.
    """
    random, total = torch.Generator().manual_seed(0), 0.0
    for _ in range(shuffles):
        shuffled = tasks[torch.randperm(len(tasks), generator=random)]
        total += mutual_information(joint_counts(shuffled, visited, num_tasks, num_cells))
    return total / shuffles


def effective_number(shares: Float[Tensor, " k"]) -> float:
    """The exponential of the entropy: how many equally likely tasks would be as undecided."""
    return float(_entropy(shares / shares.sum()).exp())


def occupancy(labels: Int64[Tensor, " n"], num_tasks: int) -> float:
    """The effective number of tasks that trajectories belong to."""
    return effective_number(torch.bincount(labels, minlength=num_tasks).double())


def _entropy(shares: Tensor) -> Tensor:
    return -torch.special.xlogy(shares, shares).sum()

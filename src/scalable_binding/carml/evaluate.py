"""Scores of agents: success and return in each episode of a trial, and where skills lead."""

from __future__ import annotations

import copy
import json
import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.carml import diagnostics
from scalable_binding.carml.actions import Vectors
from scalable_binding.carml.asked import request_tasks
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.discriminator import Discriminator
from scalable_binding.carml.given import Moments
from scalable_binding.carml.inference import adapt, load, read_config
from scalable_binding.carml.model import Policy
from scalable_binding.carml.reward import ScaffoldReward, build_whitening
from scalable_binding.carml.rollout import collect
from scalable_binding.carml.rounds import Round, list_rounds, read_round
from scalable_binding.carml.scaffold import Scaffold, build_scaffold
from scalable_binding.engine import checkpoint
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs import tasks as test_tasks
from scalable_binding.envs.batch import BatchEnv, Step, Truth
from scalable_binding.envs.layouts import SIDE
from scalable_binding.envs.tasks import Split
from scalable_binding.errors import UserError

PLACE = 8
CONFIDENCE = 1.96


@dataclass(frozen=True)
class Score:
    """A mean and half the width of its 95 % confidence interval."""

    mean: float
    margin: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} +- {self.margin:.2f}"


@dataclass(frozen=True)
class Transfer:
    """Scores of each episode of a trial, over tasks."""

    num_tasks: int
    success: tuple[Score, ...]
    returns: tuple[Score, ...]

    def record(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {
            "num_tasks": self.num_tasks,
            "success": [score.mean for score in self.success],
            "success_margin": [score.margin for score in self.success],
            "return": [score.mean for score in self.returns],
            "return_margin": [score.margin for score in self.returns],
        }


def interval(values: Float[Tensor, " n"]) -> Score:
    """The mean over independent tasks or seeds with its interval (normal approximation)."""
    values = values.double()
    if len(values) < 2:
        return Score(float(values.mean()), math.nan)
    error = float(values.std(correction=1)) / math.sqrt(len(values))
    return Score(float(values.mean()), CONFIDENCE * error)


def transfer(
    policy: Policy,
    config: CARMLConfig,
    *,
    num_tasks: int = 200,
    split: Split = "test",
    seed: int = 0,
    moments: Moments | None = None,
) -> Transfer:
    """Direct transfer to the test tasks of the environment that ``config`` names.

    Rewards are whitened with ``moments``, those of training where the agent learned given tasks
    (``given.read_moments``), and else with the statistics of a first batch of trials.

    Raises:
        UserError: an environment without test tasks.

    Source: Thesis 4.5.2, Fig. 4.7.
    """
    settings = config.environment
    tasks = test_tasks.draw(settings.name, num_tasks, generator(seed, PLACE, 0), split)
    with closing(registry.make(settings.name, num_tasks, seed, **settings.arguments())) as env:
        episodes, random = config.curriculum.episodes, generator(seed, PLACE, 1)
        found = adapt(policy, env, request_tasks(tasks), random, episodes=episodes, moments=moments)
    assert found.reached is not None
    return Transfer(
        num_tasks,
        tuple(interval(each) for each in found.reached.double().unbind(1)),
        tuple(interval(each) for each in found.returns.unbind(1)),
    )


def untrained(policy: Policy) -> Policy:
    """The same network, acting at random: every action as likely as any other.

    Vectors are drawn as before training, around 0.
    """
    blind = copy.deepcopy(policy)
    for parameter in blind.actor[-1].parameters():
        parameter.data.zero_()
    if isinstance(blind.actions, Vectors):
        blind.actions.forget()
    return blind


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
    truths: Truth
    figures: dict[str, float]


def practice(
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
    reward = _Watched(ScaffoldReward(scaffold, tasks, config.pay, whitening))
    with closing(registry.make(settings.name, num_trials, seed, **settings.arguments())) as env:
        collect(env, policy, reward, config.curriculum.episodes, random)
    truths = {name: torch.stack([t[name] for t in reward.truths], dim=1) for name in reward.names}
    if "position" not in truths:
        expected = "an environment that tells positions"
        raise UserError("skills seen from above", expected=expected, got=settings.name)
    return Skills(
        tasks, truths["position"], truths, _measure(tasks, truths["position"], settings.name)
    )


def practice_round(run: Path, number: int | None = None, *, num_trials: int = 256) -> Skills:
    """What the agent at the end of a round does for the tasks of that round.

    Args:
        run: of CARML.
        number: of the round, from 1; None: the last, with the agent that was selected.
        num_trials: of tasks drawn from q(z).

    Raises:
        UserError: no such run or round.
    """
    config, policy = read_config(run), load(run)
    found = read_round(run, number)
    if number is not None:
        following = _following(run, number)
        if following is not None:
            checkpoint.load_tensors(policy, following.policy, run)
    scaffold, whitening = rebuild(config, policy, found)
    return practice(policy, scaffold, whitening, config, num_trials=num_trials)


def rebuild(config: CARMLConfig, policy: Policy, found: Round) -> tuple[Scaffold, Any]:
    """The scaffold of a round and what whitens its rewards."""
    settings = config.environment
    with closing(registry.make(settings.name, 1, 0, **settings.arguments())) as env:
        length = env.episode_length
    if config.discriminates:
        components = config.scaffold.mixture.components
        scaffold: Scaffold = Discriminator(
            policy.observation, components, config.discriminator, config.scaffold.deep_clusters
        ).eval()
    else:
        scaffold = build_scaffold(policy.observation, config.scaffold, length)
    scaffold.load_state_dict(found.scaffold)
    whitening = build_whitening(config.pay, scaffold)
    whitening.load_state_dict(found.whitening)
    return scaffold, whitening


def curve(run: Path, name: str) -> tuple[list[int], list[float]]:
    """Environment steps and a logged figure of a run's updates (sample efficiency).

    Raises:
        UserError: the log does not have such a figure.
    """
    config = read_config(run)
    settings = config.environment
    with closing(registry.make(settings.name, 1, 0, **settings.arguments())) as env:
        each = config.fit.batch_size * config.curriculum.episodes * env.episode_length
    samples, values = [], []
    for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if name in entry:
            samples.append(int(entry["step"]) * each)
            values.append(float(entry[name]))
    if not values:
        raise UserError(f"log of {run}", expected=f"figures named {name}", got="none")
    return samples, values


class _Watched:
    """A reward that notes the true states of the running episode."""

    def __init__(self, inner: ScaffoldReward) -> None:
        self.inner = inner
        self.truths: list[Truth] = []
        self.names: list[str] = []

    def begin(self, observation: Tensor) -> None:
        """Forget the last episode."""
        self.inner.begin(observation)
        self.truths = []

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The reward within."""
        self.truths.append(env.truth())
        self.names = list(self.truths[-1])
        return self.inner.step(step, env)


def _measure(tasks: Tensor, positions: Float[Tensor, "e t 2"], name: str) -> dict[str, float]:
    """Figures of skills on a grid of 10 x 10 cells."""
    limits = (-0.2, 0.2) if name == "sawyer" else (0.0, SIDE)
    shift = torch.tensor([0.0, 0.6]) if name == "sawyer" else torch.zeros(2)
    visited = diagnostics.cells(positions - shift, limits)
    figures = {"coverage": diagnostics.coverage(visited, 100)}
    if tasks.ndim == 1:
        num = int(tasks.max()) + 1
        joint = diagnostics.joint_counts(tasks, visited, num, 100)
        figures["information"] = diagnostics.mutual_information(joint)
        figures["tasks_in_use"] = diagnostics.occupancy(tasks, num)
    return figures


def _following(run: Path, number: int) -> Round | None:
    return read_round(run, number + 1) if number + 1 in list_rounds(run) else None

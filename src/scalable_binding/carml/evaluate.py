"""Scores of agents on given tasks: success and return in each episode of a trial; validation."""

from __future__ import annotations

import copy
import math
import warnings
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.inference import adapt
from scalable_binding.carml.model import Policy
from scalable_binding.carml.task_rewards import functions_of
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit import is_due
from scalable_binding.engine.randomness import derive, generator
from scalable_binding.engine.trainer import Trainer
from scalable_binding.envs import registry
from scalable_binding.envs.tasks import Split, TaskBatch
from scalable_binding.errors import UserError
from scalable_binding.nn.distributions import DiagonalGaussian
from scalable_binding.nn.running_mean_std import RunningMeanStd

PLACE = 8
"""Of scores among the purposes of randomness."""

CONFIDENCE = 1.96

SEED = 1
"""Of validation, beside that of the run."""

UNVALIDATED = ("ppo", "contextual")
"""Methods whose policy is for one task, or is told its task: the last iterate is kept."""


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
    reward_stats: RunningMeanStd | None = None,
) -> Transfer:
    """Direct transfer to the test tasks of the environment that ``config`` names.

    Rewards are whitened with ``reward_stats``, those of training where the agent
    learned given tasks (``task_rewards.read_reward_stats``), and else with the statistics of a
    first batch of trials.

    Raises:
        UserError: an environment without test tasks.

    Source: Thesis 4.5.2, Fig. 4.7.
    """
    settings = config.environment
    tasks = registry.sample_tasks(
        settings.name, num_tasks, generator(seed, PLACE, 0), split, **settings.arguments()
    )
    with closing(registry.make(settings.name, num_tasks, seed, **settings.arguments())) as env:
        episodes, random = config.curriculum.episodes, generator(seed, PLACE, 1)
        found = adapt(
            policy, env, functions_of(tasks), random, episodes=episodes, reward_stats=reward_stats
        )
    assert found.reached is not None
    return Transfer(
        num_tasks,
        tuple(interval(each) for each in found.reached.double().unbind(1)),
        tuple(interval(each) for each in found.returns.unbind(1)),
    )


def untrained(policy: Policy) -> Policy:
    """The same network, acting at random: every action as likely as any other.

    Continuous actions have the standard deviation of before training, around 0.
    """
    blind = copy.deepcopy(policy)
    for parameter in blind.actor[-1].parameters():
        parameter.data.zero_()
    if isinstance(blind.actions, DiagonalGaussian):
        blind.actions.reset_std()
    return blind


class Validation:
    """Trials of the environment's validation tasks, now and then, and the best weights so far.

    Every rank does its share of the tasks. The same tasks come each time. Without tasks to
    validate on, nothing is ever selected, and ``weights`` stays None.

    Args:
        config: of the whole run.
        ranks: of the run.

    Attributes:
        score: share of tasks that the best iterate solved in its last episode; -inf before any.
        step: of the best iterate.
        weights: of the best iterate, by name.

    Source: Thesis 4.7.2, "Model Selection".
    """

    def __init__(self, config: CARMLConfig, ranks: DistributedContext) -> None:
        self.config, self.ranks = config, ranks
        self.score, self.step = -math.inf, 0
        self.weights: dict[str, Tensor] | None = None
        every = 0 if config.method in UNVALIDATED else config.validation.every
        self.tasks = self._sample_tasks() if every else None
        if self.tasks is not None:
            settings, seed = config.environment, derive(config.fit.seed, SEED, ranks.rank)
            self.env = registry.make(settings.name, len(self.tasks), seed, **settings.arguments())
            self._fresh = {name: t.clone() for name, t in self.env.state_dict().items()}

    def select(
        self, trainer: Trainer, step: int, reward_stats: RunningMeanStd | None = None
    ) -> dict[str, float]:
        """Validate after update ``step`` if it is due; figures for the log (every rank calls).

        ``reward_stats`` whiten the rewards of an agent that learns given tasks, as in its training.
        """
        config = self.config
        if self.tasks is None or not is_due(step, config.validation.every, config.fit):
            return {}
        policy = trainer.refresh_inference()
        assert isinstance(policy, Policy)
        place = (SEED, step, self.ranks.rank)
        random = generator(config.fit.seed, *place, device=self.ranks.device)
        episodes = config.curriculum.episodes
        self.env.load_state_dict(self._fresh)  # the same worlds each time, also in a resumed run
        task = functions_of(self.tasks)
        outcome = adapt(
            policy, self.env, task, random, episodes=episodes, reward_stats=reward_stats
        )
        assert outcome.reached is not None
        shares = self.ranks.mean(outcome.reached.float().mean(dim=0))
        returns = self.ranks.mean(outcome.returns.mean(dim=0))
        is_return = config.validation.criterion == "return"
        score = float(returns[1:].mean() if is_return and len(returns) > 1 else shares[-1])
        if score >= self.score:
            self.score, self.step = score, step
            self.weights = {n: t.clone() for n, t in trainer.average.whole().items()}
        return {f"solved_{n}": float(share) for n, share in enumerate(shares, start=1)}

    def state_dict(self, trainer: Trainer) -> dict[str, Tensor]:
        """Score, step and weights; before the first selection the present average stands in."""
        if self.tasks is None:
            return {}
        weights = self.weights or {n: t.clone() for n, t in trainer.average.whole().items()}
        figures = {"score": torch.tensor(self.score), "step": torch.tensor(self.step)}
        return figures | state_dicts.join({"weights": weights})

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        if self.tasks is None:
            return
        self.score, self.step = float(state["score"]), int(state["step"])
        if self.score > -math.inf:
            self.weights = state_dicts.part(state, "weights")

    def close(self) -> None:
        """Let go of the environments."""
        if self.tasks is not None:
            self.env.close()

    def _sample_tasks(self) -> TaskBatch | None:
        """This rank's share of the validation tasks, or none where the environment has no tasks."""
        config = self.config
        num = -(-config.validation.num_tasks // self.ranks.size)
        random = generator(config.fit.seed, SEED, 0, self.ranks.rank)
        try:
            world = config.environment
            return registry.sample_tasks(world.name, num, random, "validation", **world.arguments())
        except UserError as error:
            warnings.warn(
                f"validation.every is ignored, the last iterate is kept: {error}", stacklevel=2
            )
            return None

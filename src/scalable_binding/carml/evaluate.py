"""Scores of agents on given tasks: success and return in each episode of a trial; validation."""

from __future__ import annotations

import copy
import math
import warnings
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding import weights
from scalable_binding.carml.config import CARMLConfig, EnvironmentConfig
from scalable_binding.carml.inference import adapt, load, read_config
from scalable_binding.carml.model import Policy
from scalable_binding.carml.task_rewards import (
    ZERO,
    TaskFunctions,
    functions_of,
    read_reward_stats,
    sample_tasks,
)
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit import is_due
from scalable_binding.engine.randomness import derive, generator
from scalable_binding.engine.trainer import Trainer
from scalable_binding.envs import registry
from scalable_binding.envs.tasks import Split
from scalable_binding.errors import UserError
from scalable_binding.nn.distributions import DiagonalGaussian
from scalable_binding.nn.running_mean_std import RunningMeanStd

PLACE = 8
"""Of scores among the purposes of randomness."""

CONFIDENCE = 1.96

ORACLE = "oracle"
"""Folder in a run that may hold an oracle: an agent that learned the training tasks."""

Control = Literal["swapped", "zero"]

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
    """Scores of each episode of a trial, over tasks.

    Attributes:
        num_tasks: one trial each.
        success: share of tasks whose goal was reached at some step.
        returns: mean return.
        reached: whether each task's goal was reached in each episode, for paired comparisons.
    """

    num_tasks: int
    success: tuple[Score, ...]
    returns: tuple[Score, ...]
    reached: Float[Tensor, "e n"] = field(repr=False, compare=False)

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
    control: Control | None = None,
) -> Transfer:
    """Direct transfer to the test tasks of the environment that ``config`` names.

    Rewards are whitened with ``reward_stats``, those of training where the agent
    learned given tasks (``task_rewards.read_reward_stats``), and else with the statistics of a
    first batch of trials.

    Args:
        policy: the agent.
        config: of its run.
        num_tasks: one trial each.
        split: of the tasks.
        seed: of tasks, worlds and actions.
        reward_stats: running mean and std of rewards.
        control: "swapped" shows the agent the reward of another task, "zero" none at all.

    Raises:
        UserError: an environment without test tasks.

    Source: Thesis 4.5.2, Fig. 4.7.
    """
    settings = config.environment
    task = sample_tasks(settings, num_tasks, generator(seed, PLACE, 0), split)
    shown = None
    if control == "swapped":
        shown = swap(settings, num_tasks, seed, split)
    elif control == "zero":
        shown, reward_stats = ZERO, RunningMeanStd()
    with closing(registry.make(settings.name, num_tasks, seed, **settings.arguments())) as env:
        found = adapt(
            policy,
            env,
            task,
            generator(seed, PLACE, 1),
            episodes=config.curriculum.episodes,
            reward_stats=reward_stats,
            shown=shown,
        )
    assert found.reached is not None
    return Transfer(
        num_tasks,
        tuple(interval(each) for each in found.reached.double().unbind(1)),
        tuple(interval(each) for each in found.returns.unbind(1)),
        found.reached.double(),
    )


def compare(
    run: str | Path,
    *,
    num_tasks: int = 200,
    split: Split = "test",
    seed: int = 0,
    oracle: str | Path | None = None,
    trust: bool = False,
) -> dict[str, Transfer]:
    """Transfer of the agent of a run beside its controls, on the same tasks and worlds.

    "random": the same network acting at random. "swapped": the agent sees another task's reward;
    an agent that adapts to rewards does worse. "zero": the agent sees no reward. "oracle": an
    agent that learned the environment's training tasks (``--method oracle``), from ``oracle`` or
    from the folder ``oracle`` in the run, if there is one. ``trust`` as
    :func:`scalable_binding.carml.inference.read_config` has it.

    Raises:
        UserError: no such run, or an environment without test tasks.
    """
    folder = weights.find("carml", run)
    config, policy = read_config(folder, trust=trust), load(folder)
    if config.method == "contextual":
        fix = "see what it does for its own tasks: skills.rollout_round, or --report"
        raise UserError(f"{run} is told its task and cannot be given test tasks", fix=fix)
    stats, damage = sound_reward_stats(folder)
    if damage is not None:
        warnings.warn(damage, stacklevel=2)
    score = partial(transfer, config=config, num_tasks=num_tasks, split=split, seed=seed)
    scores = {
        "agent": score(policy, reward_stats=stats),
        "random": score(untrained(policy), reward_stats=stats),
        "swapped": score(policy, reward_stats=stats, control="swapped"),
        "zero": score(policy, control="zero"),
    }
    best = folder / ORACLE if oracle is None else weights.find("carml", oracle)
    if oracle is not None or best.is_dir():
        scores["oracle"] = score(load(best), reward_stats=read_reward_stats(best))
    return scores


def sound_reward_stats(run: Path) -> tuple[RunningMeanStd | None, str | None]:
    """The running mean and std of an agent's rewards, or none and what is wrong with the file."""
    try:
        return read_reward_stats(run), None
    except UserError as error:
        line = f"{error}; rewards are whitened with the statistics of a first batch"
        return None, line


def difference(one: Transfer, other: Transfer) -> Score:
    """How much more often one reached its goals in the last episode, paired task by task."""
    return interval(one.reached[:, -1] - other.reached[:, -1])


def swap(settings: EnvironmentConfig, num: int, seed: int, split: Split) -> TaskFunctions:
    """For each of the tasks that :func:`transfer` samples another one.

    Among an environment's own tasks it is one of the same batch with another goal; those of a
    user's file are sampled anew.

    Raises:
        UserError: all tasks are the same.
    """
    random = generator(seed, PLACE, 3)
    if settings.tasks is not None:
        return sample_tasks(settings, num, random, split)
    first, options = generator(seed, PLACE, 0), settings.arguments()
    tasks = registry.sample_tasks(settings.name, num, first, split, **options)
    numbers = []
    for task in tasks.tasks:
        others = [n for n, other in enumerate(tasks.tasks) if other != task]
        if not others:
            raise UserError("swapped tasks", expected="at least two different ones", got="one")
        numbers.append(others[int(torch.randint(len(others), (1,), generator=random))])
    return functions_of(tasks.select(numbers))


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
        self._num_tasks = -(-config.validation.num_tasks // ranks.size)
        self.tasks = self._sample_tasks() if every else None
        if self.tasks is not None:
            settings, seed = config.environment, derive(config.fit.seed, SEED, ranks.rank)
            self.env = registry.make(settings.name, self._num_tasks, seed, **settings.arguments())
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
        outcome = adapt(
            policy, self.env, self.tasks, random, episodes=episodes, reward_stats=reward_stats
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

    def _sample_tasks(self) -> TaskFunctions | None:
        """This rank's share of the validation tasks; None where the environment has no tasks."""
        settings = self.config.environment
        if settings.tasks is None and registry.describe(settings.name) is None:
            return None
        random = generator(self.config.fit.seed, SEED, 0, self.ranks.rank)
        return sample_tasks(settings, self._num_tasks, random, "validation")

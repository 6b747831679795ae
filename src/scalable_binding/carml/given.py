"""Tasks that a person gives: rewarded by the true state, or by the environment itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from scalable_binding.atomic import write_text
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine import checkpoint
from scalable_binding.envs import tasks as test_tasks
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.envs.tasks import Split, TaskBatch
from scalable_binding.errors import UserError

STD_FLOOR = 1e-4

MOMENTS = "rewards.json"
"""File in the run of an agent that learned given tasks: what whitened their rewards."""


class Moments:
    """Mean and variance of all numbers seen so far, for whitening others.

    One set of statistics serves all tasks of a distribution, so that an agent can still tell a
    task that pays much from one that pays little.

    Source: Thesis 4.7.2, "Reward Normalization", at test time.
    """

    def __init__(self) -> None:
        self.count = torch.zeros((), dtype=torch.float64)
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)

    def update(self, values: Float[Tensor, " n"]) -> None:
        """Take in further numbers, if there are some."""
        if len(values) == 0:
            return
        values = values.double()
        count = self.count + len(values)
        shift = values.mean() - self.mean
        self.squares += ((values - values.mean()) ** 2).sum()
        self.squares += shift**2 * self.count * len(values) / count
        self.mean += shift * len(values) / count
        self.count = count

    def whiten(self, values: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The numbers less the mean, over the deviation; as they are before anything was seen."""
        if self.count == 0:
            return values
        deviation = (self.squares / self.count).sqrt().clamp(min=STD_FLOOR)
        return ((values - self.mean) / deviation).to(values.dtype)

    def state_dict(self) -> dict[str, Tensor]:
        """Count, mean and sum of squares."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from other statistics."""
        self.count, self.mean = state["count"].clone(), state["mean"].clone()
        self.squares = state["squares"].clone()


def write_moments(run: Path, moments: Moments) -> None:
    """Keep what whitens an agent's rewards beside it."""
    values = {name: float(value) for name, value in moments.state_dict().items()}
    write_text(run / MOMENTS, json.dumps(values) + "\n")


def read_moments(run: Path) -> Moments | None:
    """What whitened an agent's rewards in training; None where these were not given tasks'.

    Raises:
        UserError: the file is damaged.
    """
    path = run / MOMENTS
    if not path.is_file():
        return None
    found = checkpoint.read_config(path)
    moments = Moments()
    names = moments.state_dict().keys()
    if not isinstance(found, dict) or not all(_is_finite(found.get(name)) for name in names):
        raise UserError(f"{path} is damaged", expected=f"numbers: {', '.join(names)}")
    moments.load_state_dict({n: torch.tensor(found[n], dtype=torch.float64) for n in names})
    return moments


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class GivenReward:
    """The rewards of given tasks, whitened; keeps where the goal was reached.

    Args:
        tasks: one an environment.
        moments: what whitens the rewards.
        learning: whether the rewards of each step are taken into ``moments``, before they are
            whitened.

    Attributes:
        returns, reached: of each finished or running episode, in order.
    """

    def __init__(self, tasks: TaskBatch, moments: Moments, *, learning: bool) -> None:
        self.tasks, self.moments, self.learning = tasks, moments, learning
        self.returns: list[Float[Tensor, " e"]] = []
        self.reached: list[Bool[Tensor, " e"]] = []

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new entry for the episode."""
        num = len(observation)
        self.returns.append(torch.zeros(num))
        self.reached.append(torch.zeros(num, dtype=torch.bool))

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The whitened reward of the true state."""
        truth = env.truth()
        rewards = self.tasks.reward(truth)
        self.returns[-1] += rewards
        self.reached[-1] |= self.tasks.success(truth)
        if self.learning:
            self.moments.update(rewards)
        return self.moments.whiten(rewards)


class OwnReward:
    """The environment's own reward, as it is."""

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """Nothing to be done."""

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """What the environment paid."""
        return step.reward


class NoReward:
    """Zero, whatever happens: for trials that nobody asks anything of."""

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """Nothing to be done."""

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """Zeros."""
        return torch.zeros(env.num_envs)


class GivenTasks:
    """Supervised meta-learning: training tasks are those of an environment's distribution.

    Args:
        name: of the environment.
        split: of its tasks.

    Source: Thesis 4.5.1, the oracle.
    """

    def __init__(self, name: str, split: Split = "train") -> None:
        self.name: str = name
        self.split: Split = split
        self.moments = Moments()

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """Nothing: the tasks stay as they are."""
        return {}

    def draw(self, num: int, generator: Generator) -> GivenReward:
        """Tasks for a batch of trials, whitened together."""
        drawn = test_tasks.draw(self.name, num, generator, self.split)
        return GivenReward(drawn, self.moments, learning=True)

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """How well the update's trials did; nothing is learned about tasks."""
        if not isinstance(reward, GivenReward):
            return {}
        return {
            "return_last": float(reward.returns[-1].mean()),
            "solved_last": float(reward.reached[-1].float().mean()),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """What whitens the rewards."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self.moments.load_state_dict(state)

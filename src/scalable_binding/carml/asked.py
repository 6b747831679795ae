"""What a user asks of an agent: a place, an object, the environment's own reward, a function."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from scalable_binding.carml.given import Moments
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.envs.batch import BatchEnv, Step, Truth
from scalable_binding.envs.layouts import SIDE
from scalable_binding.envs.tasks import Task, TaskBatch, find
from scalable_binding.errors import UserError, require

ON_PLANE = ("maze", "room", "vizdoom-fixed", "vizdoom-random")
"""Environments whose places are points of a square plane."""

FORMS = "goal=X,Y, object=N, own, or FILE.py:FUNCTION"


@dataclass(frozen=True)
class Request:
    """A task as two functions of a step and of the true state.

    Attributes:
        name: for tables and pictures.
        pay: the reward of each environment.
        reach: whether each environment is where it should be; None where nobody can say.
    """

    name: str
    pay: Callable[[Step, Truth], Float[Tensor, " e"]]
    reach: Callable[[Step, Truth], Bool[Tensor, " e"]] | None = None


def request_tasks(tasks: TaskBatch) -> Request:
    """The request for tasks of the true state, one for all environments or one for each."""
    name = tasks[0].name if len(tasks) == 1 else f"{len(tasks)} tasks"
    return Request(
        name,
        lambda step, truth: tasks.reward(truth).float(),
        lambda step, truth: tasks.success(truth),
    )


def parse(text: str, environment: str) -> Request:
    """The request that a text names.

    "goal=X,Y": come near a place (bring the puck there, for sawyer). "object=N": come near an
    object of a room. "own": what the environment itself pays. "FILE.py:FUNCTION" or
    "MODULE:FUNCTION": a function of observations (e *obs) and the true state (a dict of tensors)
    that returns a reward for each environment.

    Raises:
        UserError: a text of another form, no such file or function, or an impossible task.
    """
    kind, equals, value = text.partition("=")
    if text == "own":
        return Request("own reward", lambda step, truth: step.reward)
    if kind == "goal" and equals:
        return request_tasks(TaskBatch((_goal(value, environment),)))
    if kind == "object" and equals:
        if not value.isdecimal():
            raise UserError("task object=N", expected="a number of at least 0", got=repr(value))
        return request_tasks(TaskBatch((find(int(value)),)))
    if ":" in text and not equals:
        return _function(text)
    raise UserError("task", expected=FORMS, got=repr(text))


class AskedReward:
    """The rewards of a request, whitened; keeps what came of each episode.

    Args:
        request: what is asked.
        moments: what whitens the rewards; None leaves them as they are.
        learning: whether rewards are taken into ``moments`` before they are whitened.

    Attributes:
        returns, reached: of each episode, in order, not whitened.
        truths: the true states of each episode's steps, by name, for whoever draws them.
    """

    def __init__(self, request: Request, moments: Moments | None, *, learning: bool) -> None:
        self.request, self.moments, self.learning = request, moments, learning
        self.returns: list[Float[Tensor, " e"]] = []
        self.reached: list[Bool[Tensor, " e"]] = []
        self.truths: list[list[Truth]] = []
        self._active = torch.ones(0, dtype=torch.bool)

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new entry for the episode."""
        num = len(observation)
        self.returns.append(torch.zeros(num))
        self.reached.append(torch.zeros(num, dtype=torch.bool))
        self.truths.append([])
        self._active = torch.ones(num, dtype=torch.bool)

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """What the agent sees for the step.

        Raises:
            UserError: rewards that are not one finite number for each environment.
        """
        truth = env.truth()
        rewards = self.request.pay(step, truth) * self._active
        self.returns[-1] += rewards
        if self.request.reach is not None:
            self.reached[-1] |= self.request.reach(step, truth) & self._active
        self.truths[-1].append(truth)
        if self.moments is not None and self.learning:
            self.moments.update(rewards[self._active])
        self._active = ~step.done
        return rewards if self.moments is None else self.moments.whiten(rewards)


class OneTask:
    """A source of training tasks that is always the same request.

    Args:
        request: what is asked.

    Source: Thesis 4.5.1, "PPO from scratch on each evaluation task".
    """

    def __init__(self, request: Request) -> None:
        self.request, self.moments = request, Moments()

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """Nothing: the task stays as it is."""
        return {}

    def draw(self, num: int, generator: Generator) -> AskedReward:
        """The task, for a batch of trials."""
        return AskedReward(self.request, self.moments, learning=True)

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """How well the update's trials did; nothing is learned about tasks."""
        if not isinstance(reward, AskedReward):
            return {}
        figures = {"return_last": float(reward.returns[-1].mean())}
        if self.request.reach is not None:
            figures["solved_last"] = float(reward.reached[-1].float().mean())
        return figures

    def state_dict(self) -> dict[str, Tensor]:
        """What whitens the rewards."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self.moments.load_state_dict(state)


def _goal(value: str, environment: str) -> Task:
    try:
        x, y = (float(part) for part in value.split(","))
    except ValueError:
        raise UserError("task goal=X,Y", expected="two numbers", got=repr(value)) from None
    if environment in ON_PLANE:
        is_place, expected = 0 <= x <= SIDE and 0 <= y <= SIDE, f"a place, 0 to {SIDE:g}"
    else:
        is_place, expected = math.isfinite(x + y), "finite numbers"
    require("task goal=X,Y", repr(value), is_place, expected)
    if environment == "sawyer":
        return Task(goal=(x, y), of="puck", shape="negative", radius=0.06, unit=0.1)
    return Task(goal=(x, y))


def _function(text: str) -> Request:
    place, _, name = text.rpartition(":")
    function = getattr(_module(place), name, None)
    if not callable(function):
        raise UserError(f"task {text}", expected=f"a function {name} in {place}", got="none")
    return Request(name, lambda step, truth: _call(function, text, step, truth))


def _module(place: str) -> Any:
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        spec = importlib.util.spec_from_file_location(Path(place).stem, place)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(Path(place).stem, module)
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's code
        raise UserError(f"task: cannot import {place}: {_told(error)}") from error
    return module


def _told(error: Exception) -> str:
    """An error of the user's code in words, and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})"


def _call(function: Callable[..., Any], text: str, step: Step, truth: Truth) -> Float[Tensor, " e"]:
    try:
        found = torch.as_tensor(function(step.observation, truth)).float()
    except Exception as error:  # it is the user's code
        raise UserError(f"task {text} raised {_told(error)}") from error
    num = len(step.observation)
    if found.shape != (num,):
        expected = f"a reward for each of {num} environments"
        raise UserError(f"task {text}", expected=expected, got=f"shape {tuple(found.shape)}")
    return found

"""Given tasks: a reward function and a success function of what happened and of the true state."""

from __future__ import annotations

import importlib
import importlib.util
import json
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

from scalable_binding.atomic import write_text
from scalable_binding.carml.config import CARMLConfig, EnvironmentConfig
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine import checkpoint
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, GroundTruth, Step
from scalable_binding.envs.tasks import Split, Task, TaskBatch, find, goal_anywhere
from scalable_binding.errors import UserError
from scalable_binding.nn.running_mean_std import RunningMeanStd

FORMS = "goal=X,Y, object=N, own, or FILE.py:FUNCTION"

REWARD_STATS = "rewards.json"
"""File in the run of an agent that learned given tasks: what whitened their rewards."""


@dataclass(frozen=True)
class TaskFunctions:
    """One task, or one for each environment, as two functions of a step and the true state.

    Attributes:
        name: for tables and pictures.
        reward_fn: the reward of each environment.
        success_fn: whether each environment is where it should be; None where nobody can say.
    """

    name: str
    reward_fn: Callable[[Step, GroundTruth], Float[Tensor, " e"]]
    success_fn: Callable[[Step, GroundTruth], Bool[Tensor, " e"]] | None = None


ZERO = TaskFunctions("zero reward", lambda step, truth: torch.zeros(len(step.done)))
"""A control: an agent that adapts without any information about its task."""


def functions_of(tasks: TaskBatch) -> TaskFunctions:
    """The reward and success functions of tasks: one for all environments, or one for each."""
    name = tasks[0].name if len(tasks) == 1 else f"{len(tasks)} tasks"
    return TaskFunctions(
        name,
        lambda step, truth: tasks.reward(truth).float(),
        lambda step, truth: tasks.success(truth),
    )


def parse(text: str, environment: str) -> TaskFunctions:
    """The task that a text names.

    "goal=X,Y": come near a place (bring the puck there, for sawyer). "object=N": come near an
    object of a room. "own": the environment's own reward. "FILE.py:FUNCTION" or
    "MODULE:FUNCTION": a function of observations (e *obs) and the true state (a dict of tensors)
    that returns a reward for each environment.

    Raises:
        UserError: a text of another form, no such file or function, or an impossible task.
    """
    kind, equals, value = text.partition("=")
    if text == "own":
        return TaskFunctions("own reward", lambda step, truth: step.reward)
    if kind == "goal" and equals:
        return functions_of(TaskBatch((_goal(value, environment),)))
    if kind == "object" and equals:
        if not value.isdecimal():
            raise UserError("task object=N", expected="a number of at least 0", got=repr(value))
        return functions_of(TaskBatch((find(int(value)),)))
    if ":" in text and not equals:
        return _function(text)
    raise UserError("task", expected=FORMS, got=repr(text))


def sample_tasks(
    environment: EnvironmentConfig, num: int, generator: Generator, split: Split = "test"
) -> TaskFunctions:
    """Tasks for ``num`` copies of an environment: its own, or those of ``environment.tasks``.

    Such a file defines ``sample_tasks(num, generator, split)``, which returns two functions of
    observations (e *obs) and the true state (a dict of tensors, empty where nothing tells it):
    the rewards (e), and whether each environment has succeeded (e). ``generator`` is a
    ``torch.Generator``; ``split`` is "train", "validation" or "test".

    Raises:
        UserError: an environment without tasks, or a file that gives none.
    """
    if environment.tasks is None:
        options = environment.arguments()
        return functions_of(
            registry.sample_tasks(environment.name, num, generator, split, **options)
        )
    path = environment.tasks
    function = getattr(_module(path), "sample_tasks", None)
    if not callable(function):
        expected = "a function sample_tasks(num, generator, split)"
        raise UserError(f"tasks {path}", expected=expected, got="none")
    try:
        reward, success = function(num, generator, split)
    except Exception as error:  # it is the user's code
        raise UserError(f"tasks {path}: sample_tasks raised {_told(error)}") from error
    return TaskFunctions(
        f"{num} tasks of {Path(path).stem}",
        lambda step, truth: _call(reward, f"{path} reward", step, truth),
        lambda step, truth: _call(success, f"{path} success", step, truth) > 0,
    )


class TaskReward:
    """The rewards of given tasks, whitened; keeps the return and the success of each episode.

    Steps after an early end of an episode pay nothing and reach nothing.

    Args:
        task: what is rewarded.
        reward_stats: running mean and std that whiten the rewards; None leaves them as they are.
        learning: whether rewards are taken into ``reward_stats`` before they are whitened.
        shown: another task, whose reward the agent sees instead: a control. Returns and success
            are still those of ``task``.

    Attributes:
        returns, reached: of each episode, in order, not whitened.
        truths: the true states of each episode's steps, by name.
    """

    def __init__(
        self,
        task: TaskFunctions,
        reward_stats: RunningMeanStd | None,
        *,
        learning: bool,
        shown: TaskFunctions | None = None,
    ) -> None:
        self.task, self.reward_stats, self.learning = task, reward_stats, learning
        self.shown = shown
        self.returns: list[Float[Tensor, " e"]] = []
        self.reached: list[Bool[Tensor, " e"]] = []
        self.truths: list[list[GroundTruth]] = []
        self._active = torch.ones(0, dtype=torch.bool)

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new entry for the episode."""
        num = len(observation)
        self.returns.append(torch.zeros(num))
        self.reached.append(torch.zeros(num, dtype=torch.bool))
        self.truths.append([])
        self._active = torch.ones(num, dtype=torch.bool)

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The reward that the agent sees for the step.

        Raises:
            UserError: rewards that are not one finite number for each environment.
        """
        truth = env.ground_truth()
        rewards = self.task.reward_fn(step, truth) * self._active
        self.returns[-1] += rewards
        if self.task.success_fn is not None:
            self.reached[-1] |= self.task.success_fn(step, truth) & self._active
        self.truths[-1].append(truth)
        if self.shown is not None:
            rewards = self.shown.reward_fn(step, truth) * self._active
        if self.reward_stats is not None and self.learning:
            self.reward_stats.update(rewards[self._active])
        self._active = ~step.done
        return rewards if self.reward_stats is None else self.reward_stats.normalize(rewards)


class OwnReward:
    """The environment's own reward, as it is."""

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """Nothing to be done."""

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The environment's reward."""
        return step.reward


class NoReward:
    """Zero for every step: for trials without a task."""

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """Nothing to be done."""

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """Zeros."""
        return torch.zeros(env.num_envs)


def kept_trajectories(
    trials: Trials, reward: Reward, config: CARMLConfig
) -> Shaped[Tensor, "e n t *obs"]:
    """What goes into the reservoir: the last episodes of trials, those of an adapted policy.

    Without a reward there is nothing to adapt to, and all episodes count.
    """
    num = trials.rewards.shape[1]
    kept = num if isinstance(reward, NoReward) else config.curriculum.kept_episodes
    return trials.trajectories[:, -kept:]


def write_reward_stats(run: Path, reward_stats: RunningMeanStd) -> None:
    """Keep the running mean and std of an agent's rewards beside it."""
    values = {name: float(value) for name, value in reward_stats.state_dict().items()}
    write_text(run / REWARD_STATS, json.dumps(values) + "\n")


def read_reward_stats(run: Path) -> RunningMeanStd | None:
    """The running mean and std of an agent's rewards in training; None without given tasks.

    Raises:
        UserError: the file is damaged.
    """
    path = run / REWARD_STATS
    if not path.is_file():
        return None
    found = checkpoint.read_config(path)
    stats = RunningMeanStd()
    names = stats.state_dict().keys()
    if not isinstance(found, dict) or not all(_is_finite(found.get(name)) for name in names):
        raise UserError(f"{path} is damaged", expected=f"numbers: {', '.join(names)}")
    stats.load_state_dict({n: torch.tensor([found[n]], dtype=torch.float64) for n in names})
    return stats


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _goal(value: str, environment: str) -> Task:
    try:
        x, y = (float(part) for part in value.split(","))
    except ValueError:
        raise UserError("task goal=X,Y", expected="two numbers", got=repr(value)) from None
    world = registry.describe(environment)
    return goal_anywhere(x, y) if world is None else world.goal_task(x, y)


def _function(text: str) -> TaskFunctions:
    place, _, name = text.rpartition(":")
    function = getattr(_module(place), name, None)
    if not callable(function):
        raise UserError(f"task {text}", expected=f"a function {name} in {place}", got="none")
    return TaskFunctions(name, lambda step, truth: _call(function, text, step, truth))


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


def _call(
    function: Callable[..., Any], text: str, step: Step, truth: GroundTruth
) -> Float[Tensor, " e"]:
    try:
        found = torch.as_tensor(function(step.observation, truth)).float()
    except Exception as error:  # it is the user's code
        raise UserError(f"task {text} raised {_told(error)}") from error
    num = len(step.observation)
    if found.shape != (num,):
        expected = f"a reward for each of {num} environments"
        raise UserError(f"task {text}", expected=expected, got=f"shape {tuple(found.shape)}")
    return found

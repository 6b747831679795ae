"""One environment of this package as a Gymnasium environment, and rewards of a task for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from scalable_binding.envs.batch import BatchEnv, Truth
from scalable_binding.envs.maze import Maze, MazeConfig
from scalable_binding.envs.room import Room, RoomConfig
from scalable_binding.envs.tasks import Task


class SingleEnv(gymnasium.Env[np.ndarray, Any]):
    """A batch of one, through Gymnasium's interface.

    Frames have their channels first. Rewards are 0: see :class:`Rewarded`. An episode is truncated
    at its length. ``reset`` draws a new world; ``options={"renew": False}`` keeps the last.
    """

    def __init__(self, make: Callable[[int], BatchEnv]) -> None:
        self._make = make
        self._env = make(0)
        self.observation_space: spaces.Space[np.ndarray] = self._env.observation_space
        self.action_space = self._env.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of an episode."""
        super().reset(seed=seed)
        if seed is not None:
            self._env = self._make(seed)
        elif (options or {}).get("renew", True):
            self._env.renew()
        return self._env.reset()[0].numpy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward 0, False, whether the episode is over, nothing."""
        step = self._env.step(torch.as_tensor(np.asarray(action))[None])
        return step.observation[0].numpy(), 0.0, False, bool(step.done), {}

    def truth(self) -> dict[str, np.ndarray]:
        """The true state, for evaluation only."""
        return {name: value[0].numpy() for name, value in self._env.truth().items()}


class Rewarded(gymnasium.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """An environment of this package that rewards one test task.

    The info of every step tells whether the goal is reached ("success").

    Args:
        env: whose ``unwrapped`` tells the truth.
        task: what to reward.
    """

    def __init__(self, env: gymnasium.Env[np.ndarray, Any], task: Task) -> None:
        super().__init__(env)
        self.task = task

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """The environment's step with the task's reward."""
        observation, _, terminated, truncated, info = self.env.step(action)
        truth = self._truth()
        info = {**info, "success": bool(self.task.success(truth))}
        return observation, float(self.task.reward(truth)), terminated, truncated, info

    def _truth(self) -> Truth:
        tell: Callable[[], dict[str, np.ndarray]] = self.env.get_wrapper_attr("truth")
        return {name: _batch(value) for name, value in tell().items()}


def make_maze(**options: Any) -> SingleEnv:
    """The maze, for Gymnasium's registry."""
    config = MazeConfig(**options)
    return SingleEnv(lambda seed: Maze(config, 1, seed))


def make_room(**options: Any) -> SingleEnv:
    """The pixel room, for Gymnasium's registry."""
    config = RoomConfig(**options)
    return SingleEnv(lambda seed: Room(config, 1, seed))


def make_vizdoom(**options: Any) -> gymnasium.Env[np.ndarray, Any]:
    """ViZDoom's room, for Gymnasium's registry."""
    from scalable_binding.envs.doom import DoomConfig, DoomRoom

    return DoomRoom(DoomConfig(**options))


def _batch(value: np.ndarray) -> Tensor:
    return torch.as_tensor(value)[None]

"""One environment of this package as a Gymnasium environment, and rewards of a task for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from scalable_binding.envs.batch import BatchEnv, GroundTruth
from scalable_binding.envs.maze import Maze, MazeConfig
from scalable_binding.envs.room import Room, RoomConfig
from scalable_binding.envs.tasks import Task


class SingleEnv(gymnasium.Env[np.ndarray, Any]):
    """A batch of one, through Gymnasium's interface.

    Frames have their channels first. Rewards are 0: see :class:`Rewarded`. An episode is truncated
    at its length. ``reset`` samples a new world, unless ``options={"resample_world": False}``.
    """

    def __init__(self, env: BatchEnv) -> None:
        self._env = env
        self.observation_space: spaces.Space[np.ndarray] = self._env.observation_space
        self.action_space = self._env.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of an episode."""
        super().reset(seed=seed)
        state = self._env.state_dict()
        if seed is not None and "generator" in state:
            generator = torch.Generator().manual_seed(seed).get_state()
            self._env.load_state_dict({**state, "generator": generator})
        if seed is not None or (options or {}).get("resample_world", True):
            self._env.resample_world()
        return self._env.reset()[0].numpy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward 0, False, whether the episode is over, nothing."""
        step = self._env.step(torch.as_tensor(np.asarray(action))[None])
        return step.observation[0].numpy(), 0.0, False, bool(step.done), {}

    def close(self) -> None:
        """Close the batch."""
        self._env.close()

    def ground_truth(self) -> dict[str, np.ndarray]:
        """The true state, for evaluation only."""
        return {name: value[0].numpy() for name, value in self._env.ground_truth().items()}


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

    def _truth(self) -> GroundTruth:
        tell: Callable[[], dict[str, np.ndarray]] = self.env.get_wrapper_attr("ground_truth")
        return {name: _batch(value) for name, value in tell().items()}


def make_maze(**options: Any) -> SingleEnv:
    """The maze, for Gymnasium's registry."""
    return SingleEnv(Maze(MazeConfig(**options)))


def make_room(**options: Any) -> SingleEnv:
    """The pixel room, for Gymnasium's registry."""
    return SingleEnv(Room(RoomConfig(**options)))


def make_vizdoom(**options: Any) -> gymnasium.Env[np.ndarray, Any]:
    """ViZDoom's room, for Gymnasium's registry."""
    from scalable_binding.envs.doom import DoomConfig, DoomRoom

    return DoomRoom(DoomConfig(**options))


def make_sawyer(**options: Any) -> SingleEnv:
    """The arm and its puck, for Gymnasium's registry."""
    from scalable_binding.envs.sawyer import Sawyer, SawyerConfig

    return SingleEnv(Sawyer(SawyerConfig(**options)))


def _batch(value: np.ndarray) -> Tensor:
    return torch.as_tensor(value)[None]

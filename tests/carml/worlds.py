"""Small environments of the tests."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from scalable_binding.envs.batch import Step


class Cue:
    """One of three arms pays, in the last episode of a trial only; the first observation tells it.

    Episodes have two steps. Every other observation is zero, so that the cue has to be carried
    through the episodes between.
    """

    NUM_ARMS = 3

    def __init__(self, num_envs: int, seed: int = 0, *, episodes: int = 4) -> None:
        self.num_envs, self.episodes, self.episode_length = num_envs, episodes, 2
        self.observation_space = spaces.Box(0.0, 1.0, (self.NUM_ARMS,), np.float32)
        self.action_space = spaces.Discrete(self.NUM_ARMS)
        self.shows = True
        self._random = torch.Generator().manual_seed(seed)
        self.resample_world()

    def resample_world(self) -> None:
        self.arms = torch.randint(self.NUM_ARMS, (self.num_envs,), generator=self._random)
        self._episode, self._time = -1, 0

    def reset(self) -> Tensor:
        self._episode, self._time = self._episode + 1, 0
        cue = torch.nn.functional.one_hot(self.arms, self.NUM_ARMS).float()
        return cue if self._episode == 0 and self.shows else torch.zeros_like(cue)

    def step(self, actions: Tensor) -> Step:
        self._time += 1
        pays = self._episode == self.episodes - 1
        rewards = (actions == self.arms).float() if pays else torch.zeros(self.num_envs)
        done = torch.full((self.num_envs,), self._time == self.episode_length)
        return Step(torch.zeros(self.num_envs, self.NUM_ARMS), rewards, done)

    def ground_truth(self) -> dict[str, Tensor]:
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        return {"random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._random.set_state(state["random"])

    def close(self) -> None:
        pass


class Short(Cue):
    """Episodes of three steps, of which environment i ends its own after i + 1."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs)
        self.episode_length = 3

    def step(self, actions: Tensor) -> Step:
        self._time += 1
        done = torch.arange(self.num_envs) < self._time
        done |= torch.tensor(self._time == self.episode_length)
        paid = torch.where(torch.arange(self.num_envs) >= self._time - 1, 1.0, 0.0)
        return Step(torch.zeros(self.num_envs, self.NUM_ARMS), paid, done)

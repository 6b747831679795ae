"""Environments as users may bring them: well-behaved, odd and broken ones."""

import time

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env):
    """The observation is (seed, step, the last action); rewards are the steps."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float64)
    action_space = spaces.Discrete(4)

    def __init__(self, ends_at=None):
        self.ends_at = ends_at
        self.seed = self.time = 0

    def observe(self, action=0):
        return np.array([self.seed % 1000, self.time, action], np.float64)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seed, self.time = seed or 0, 0
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        return self.observe(action), float(self.time), self.time == self.ends_at, False, {}

    def ground_truth(self):
        return {"position": np.array([self.time, self.seed % 1000], np.float32)}


class Faulty(Counter):
    """Goes wrong at its third step, in the way it is told to; with seeds, only from those."""

    def __init__(self, fault, seeds=None):
        super().__init__()
        self.fault, self.seeds = fault, seeds

    def step(self, action):
        observation, reward, *rest = super().step(action)
        if self.time == 3 and (self.seeds is None or self.seed in self.seeds):
            if self.fault == "raises":
                raise RuntimeError("the wheel\ncame off")
            if self.fault == "hangs":
                time.sleep(3600)
            if self.fault == "dies":
                import os

                os._exit(7)
            if self.fault == "nan reward":
                reward = float("nan")
            if self.fault == "infinite reward":
                reward = float("inf")
            if self.fault == "shape":
                observation = np.zeros(4)
            if self.fault == "nan observation":
                observation = np.array([0, np.nan, 0])
        return observation, reward, *rest


class Lost(Faulty):
    """Knows where it is after its first reset, and not before."""

    def reset(self, *, seed=None, options=None):
        self.position = np.zeros(1, np.float32)
        return super().reset(seed=seed, options=options)

    def ground_truth(self):
        return {"position": self.position}


class Licensed(Counter):
    """Cannot be made."""

    def __init__(self):
        raise RuntimeError("no license")


class Spaces(Counter):
    """Other spaces than the usual."""

    def __init__(self, observation=None, action=None):
        super().__init__()
        self.observation_space = observation or self.observation_space
        self.action_space = action or self.action_space
        self.taken = None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.taken = action
        return self.observation_space.sample(), 0.0, False, False, {}


class DeadOnArrival(Counter):
    """Never gets through its first reset."""

    def reset(self, *, seed=None, options=None):
        raise OSError("no such level")


class Wearing(Counter):
    """Raises for good once it has been stepped so often."""

    def __init__(self, lifetime):
        super().__init__()
        self.left = lifetime

    def step(self, action):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("worn out")
        return super().step(action)


gymnasium.register("Wearing-v0", entry_point=Wearing, max_episode_steps=5)
gymnasium.register("Counter-v0", entry_point=Counter, max_episode_steps=5)


class Grid(Counter):
    """Observes its step as a number of a large space."""

    observation_space = spaces.Discrete(100_000, start=5)

    def observe(self, action=0):
        return 5 + 70_000 + self.time


class Frames(Counter):
    """Declares uint8 frames and returns what it is told to."""

    observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    def __init__(self, value):
        super().__init__()
        self.value = value

    def observe(self, action=0):
        return np.full((8, 8, 3), self.value)


class Sentences(Counter):
    """An image, a number and a sentence, as MiniGrid has them."""

    observation_space = spaces.Dict(
        image=spaces.Box(0, 255, (8, 8, 3), np.uint8),
        direction=spaces.Discrete(4),
        mission=spaces.Text(20),
    )

    def observe(self, action=0):
        return {"image": np.zeros((8, 8, 3), np.uint8), "direction": 2, "mission": "go"}


class Unfit(Counter):
    """Any spaces."""

    def __init__(self, observation=None, action=None):
        super().__init__()
        self.observation_space = observation or self.observation_space
        self.action_space = action or self.action_space


def make_batch(num_envs, seed, **options):
    """A batch that needs no wrapper."""
    from scalable_binding.envs.maze import Maze, MazeConfig

    return Maze(MazeConfig(**options), num_envs, seed)


def make_nothing(num_envs, seed):
    """No batch."""
    return object()

"""Any Gymnasium environment as a batch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from scalable_binding.envs.adapter import Adapter, Factory, make_selected
from scalable_binding.envs.batch import Actions, GroundTruth, Observations, Step
from scalable_binding.envs.vector_backends import (
    Backend,
    InProcessBackend,
    RestartBudget,
    WorkerBackend,
)
from scalable_binding.envs.worker import name_of
from scalable_binding.errors import UserError, require


@dataclass(frozen=True, kw_only=True)
class VectorConfig:
    """How a user's environments are stepped.

    Attributes:
        vector: "sync", all in this process, or "workers", shared out among processes.
        num_workers: processes; None for one a processor, at most one an environment.
        episode_length: steps in an episode; None for the environment's own limit.
        size: shrink frames to this many pixels a side; None as they come.
        observation: which entry of a ``Dict`` observation is seen; None where there are none.
        worlds: what a seed is for. "episode": every episode starts from another one; "trial": all
            episodes of a trial start from the same, for environments that draw a world from it.
        timeout: seconds that a worker may take for a step or a reset.
        restarts: how often environments that fail are made anew, in all.

    Raises:
        UserError: a number makes no sense.
    """

    vector: Literal["sync", "workers"] = "sync"
    num_workers: int | None = None
    episode_length: int | None = None
    size: int | None = None
    observation: str | None = None
    worlds: Literal["episode", "trial"] = "episode"
    timeout: float = 60.0
    restarts: int = 3

    def __post_init__(self) -> None:
        for name, choices in (("vector", ("sync", "workers")), ("worlds", ("episode", "trial"))):
            value = getattr(self, name)
            require(f"environments, {name}", value, value in choices, " or ".join(choices))
        for name, least in (("num_workers", 1), ("episode_length", 1), ("size", 8)):
            value = getattr(self, name)
            require(
                f"environments, {name}", value, value is None or value >= least, f"at least {least}"
            )
        require("environments, timeout", self.timeout, self.timeout > 0, "above 0 seconds")
        require("environments, restarts", self.restarts, self.restarts >= 0, "at least 0")


class VectorEnv:
    """A batch of Gymnasium environments.

    Every episode begins with a seed that follows from the batch's seed, the environment's number
    and the episode's, so a state taken between two episodes is continued exactly; what happens
    within an episode is the environment's own affair and cannot be saved. ``ground_truth`` is what
    the environments' own method of that name tells, where they have one.

    Args:
        factory: makes one environment.
        name: what errors call it.
        num_envs: how many environments there are.
        seed: of everything random.
        config: how they are stepped.

    Raises:
        UserError: spaces other than ``Box`` and ``Discrete``, no limit for episodes, or a number
            that makes no sense. Later: see :class:`~scalable_binding.envs.adapter.Adapter`; or
            environments failed too often.
    """

    def __init__(
        self,
        factory: Factory,
        name: str,
        num_envs: int,
        seed: int = 0,
        config: VectorConfig | None = None,
    ) -> None:
        require("environments, num_envs", num_envs, num_envs >= 1, "at least 1")
        require("environments, seed", seed, seed >= 0, "at least 0")
        self.config = config or VectorConfig()
        self.num_envs = num_envs
        self._seed = seed
        if self.config.observation is not None:
            factory = partial(make_selected, factory, self.config.observation)
        first = Adapter(factory, name_of(name, 0), self.config.size)
        self.observation_space: spaces.Box = first.observation_space
        self.action_space: spaces.Discrete | spaces.Box = first.action_space
        self.episode_length = self._limit(first, name)
        self._max_steps = min(self.episode_length, first.max_steps or self.episode_length)
        self._backend = self._make_backend(factory, name, first)
        self._time = self._episode = self._world = 0
        self._done = np.ones(num_envs, bool)

    def resample_world(self) -> None:
        """Go on to the next world of every environment, where ``worlds`` is "trial"."""
        self._world += 1

    def reset(self) -> Observations:
        """The first observations of a new episode in every environment."""
        place = self._world if self.config.worlds == "trial" else self._episode
        self._backend.reset(_derive(self._seed, place, self.num_envs))
        self._episode += 1
        self._time = 0
        self._done[:] = False
        return self._observe()

    def step(self, actions: Actions) -> Step:
        """What the actions lead to; environments that are done wait for the others."""
        alive = ~self._done
        if not alive.any():
            return self._last()
        rewards, over = self._backend.step(actions.numpy(), alive)
        self._time += 1
        if self._time >= self._max_steps:
            self._done[:] = True
        else:
            self._done |= alive & over
        return Step(self._observe(), torch.from_numpy(rewards), torch.from_numpy(self._done.copy()))

    def ground_truth(self) -> GroundTruth:
        """What the environments tell of their true states, stacked."""
        truths = self._backend.truths()
        return {
            name: torch.from_numpy(np.stack([np.asarray(truth[name]) for truth in truths]))
            for name in truths[0]
        }

    def state_dict(self) -> dict[str, Tensor]:
        """How many episodes and worlds there have been; exact between episodes."""
        return {"episode": torch.tensor(self._episode), "world": torch.tensor(self._world)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on with the episode after those that were counted; ``reset`` must follow."""
        self._episode, self._world = int(state["episode"]), int(state["world"])
        self._done[:] = True

    def close(self) -> None:
        """Close the environments and end the workers."""
        self._backend.close()

    def _last(self) -> Step:
        """What environments that are all done show on."""
        zeros = torch.zeros(self.num_envs)
        return Step(self._observe(), zeros, torch.from_numpy(self._done.copy()))

    def _limit(self, first: Adapter, name: str) -> int:
        limit = self.config.episode_length or first.max_steps
        if limit is None:
            raise UserError(
                f"episodes of {name}",
                expected="a number of steps",
                got="no limit",
                fix="set episode_length",
            )
        return limit

    def _make_backend(self, factory: Factory, name: str, first: Adapter) -> Backend:
        config = self.config
        budget = RestartBudget(name, config.restarts)
        if config.vector == "sync":
            return InProcessBackend(factory, name, config.size, first, budget, self.num_envs)
        num_workers = min(config.num_workers or os.cpu_count() or 1, self.num_envs)
        return WorkerBackend(
            factory, name, config.size, first, budget, self.num_envs, num_workers, config.timeout
        )

    def _observe(self) -> Observations:
        return torch.from_numpy(self._backend.observations.copy())


def _derive(seed: int, place: int, num_envs: int) -> list[int]:
    """The seeds of an episode or world of each environment: 31 bits, as Gymnasium wants them."""
    return [int(s) >> 1 for s in np.random.SeedSequence([seed, place]).generate_state(num_envs)]

"""Tasks made by a policy that is told its task: skills first, meta-learning afterwards."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.curriculum import Curriculum
from scalable_binding.carml.reward import ScaffoldReward
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.carml.rounds import read_round
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs.batch import BatchEnv, Step, Truth
from scalable_binding.errors import UserError


class ContextualEnv:
    """Environments whose states end with the task that the policy is to do.

    Args:
        inner: environments with states (d).
        width: of a task's description.

    Attributes:
        context: the descriptions, one an environment; zeros before any task is set.
    """

    def __init__(self, inner: BatchEnv, width: int) -> None:
        shape = inner.observation_space.shape
        if len(shape) != 1:
            fix = "compare methods on environments with states, such as maze"
            raise UserError("a contextual policy", expected="states (d)", got=str(shape), fix=fix)
        self.inner, self.width = inner, width
        self.num_envs, self.episode_length = inner.num_envs, inner.episode_length
        self.action_space: spaces.Discrete | spaces.Box = inner.action_space
        limits = [np.full(width, x, np.float32) for x in (-np.inf, np.inf)]
        low, high = inner.observation_space.low, inner.observation_space.high
        self.observation_space: spaces.Box = spaces.Box(
            np.concatenate([low, limits[0]]), np.concatenate([high, limits[1]])
        )
        self.context = torch.zeros(self.num_envs, width)

    def reset(self) -> Float[Tensor, "e d"]:
        """The first states, with the tasks."""
        return self._tell(self.inner.reset())

    def renew(self) -> None:
        """New worlds."""
        self.inner.renew()

    def step(self, actions: Shaped[Tensor, "e *a"]) -> Step:
        """What the actions lead to, with the tasks."""
        step = self.inner.step(actions)
        return dataclasses.replace(step, observation=self._tell(step.observation))

    def truth(self) -> Truth:
        """The true state of the world."""
        return self.inner.truth()

    def state_dict(self) -> dict[str, Tensor]:
        """The worlds' state; tasks are set anew before each trial."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self.inner.load_state_dict(state)

    def close(self) -> None:
        """Let go of the worlds."""
        self.inner.close()

    def _tell(self, observation: Float[Tensor, "e d"]) -> Float[Tensor, "e d2"]:
        return torch.cat([observation, self.context], dim=-1)


class UntoldReward:
    """Rewards of a scaffold that does not see which task the policy was told."""

    def __init__(self, told: ScaffoldReward, width: int) -> None:
        self.told, self.width = told, width

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new episode."""
        self.told.begin(observation[..., : -self.width])

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """The reward of the state alone."""
        observation = step.observation[..., : -self.width]
        return self.told.step(dataclasses.replace(step, observation=observation), env)


class ContextualTasks:
    """CARML's tasks for a contextual policy pi(a | s, z).

    Args:
        config: of the whole run.
        env: environments that tell tasks.
        ranks: of the run.

    Source: Thesis 4.5.1, variant 4; 4.7.3 ("we simplify the learning problem").
    """

    def __init__(self, config: CARMLConfig, env: ContextualEnv, ranks: DistributedContext) -> None:
        self.env, self.inner = env, Curriculum(config, env.inner, ranks)

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """The E-step."""
        return self.inner.reorganize(generator)

    def draw(self, num: int, generator: Generator) -> UntoldReward:
        """Tasks, which the environments tell the policy from now on."""
        reward = self.inner.draw(num, generator)
        self.env.context = describe(reward.tasks, self.env.width)
        return UntoldReward(reward, self.env.width)

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Offer the trajectories to the reservoir, without what was told."""
        width = self.env.width
        untold = dataclasses.replace(
            trials,
            observations=trials.observations[..., :-width],
            final=trials.final[..., :-width],
        )
        return self.inner.absorb(untold, reward, generator)

    def state_dict(self) -> dict[str, Tensor]:
        """The curriculum's."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self.inner.load_state_dict(state)


class FrozenTasks(Curriculum):
    """Tasks of another run's last round, which stay as they are."""

    def __init__(
        self, config: CARMLConfig, env: BatchEnv, ranks: DistributedContext, skills: Path
    ) -> None:
        super().__init__(config, env, ranks)
        found = read_round(skills)
        self.scaffold.load_state_dict(found.scaffold)
        self.whitening.load_state_dict(found.whitening)

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """Nothing."""
        return {}


def describe(tasks: Shaped[Tensor, "e *z"], width: int) -> Float[Tensor, "e d"]:
    """What a policy is told of tasks: one-hot numbers, or the vectors themselves."""
    return tasks if tasks.ndim == 2 else functional.one_hot(tasks, width).float()

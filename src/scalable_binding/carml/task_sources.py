"""Sources of training tasks: CARML's own, an environment's, a single one, those of a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from einops import rearrange
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.deep_clusters import PixelEncoder
from scalable_binding.carml.discriminator import DiscriminatorSource
from scalable_binding.carml.metra import MetraSource
from scalable_binding.carml.reward import ScaffoldReward, build_whitening
from scalable_binding.carml.rnd import NoveltySource
from scalable_binding.carml.rollout import Reservoir, Reward, Trials
from scalable_binding.carml.round_files import read_round
from scalable_binding.carml.scaffold import Scaffold, build_scaffold
from scalable_binding.carml.task_rewards import (
    TaskFunctions,
    TaskReward,
    kept_trajectories,
    parse,
    sample_tasks,
)
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs.batch import BatchEnv, GroundTruth, Step
from scalable_binding.errors import UserError
from scalable_binding.nn.running_mean_std import RunningMeanStd

SKILLS = "skills"
"""Folder of a pipelined run in which the contextual policy trains."""


@runtime_checkable
class TaskSource(Protocol):
    """Tasks that are made, drawn, and made again from what the agent did with them."""

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Make the tasks anew (the E-step); figures for the log."""
        ...

    def sample(self, num: int, generator: Generator) -> Reward:
        """Tasks for the next ``num`` trials, as what rewards them."""
        ...

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Take in what the agent did; figures for the log."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact continuation needs, always under the same names and shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        ...


class Curriculum:
    """A reservoir of trajectories, a scaffold that is fit to it, and the rewards of its tasks.

    Every rank has a reservoir of its own, all of them together as large as configured; the
    scaffold is fit to all of them and the same everywhere.

    Args:
        config: of the whole run.
        env: whose states are modeled.
        ranks: of the run.

    Source: Thesis Alg. 8.
    """

    def __init__(self, config: CARMLConfig, env: BatchEnv, ranks: DistributedContext) -> None:
        self.config, self.ranks = config, ranks
        shape = env.observation_space.shape
        dtype = torch.uint8 if len(shape) == 3 else torch.float32
        capacity = -(-config.curriculum.reservoir // ranks.size)
        self.reservoir = Reservoir(capacity, env.episode_length, shape, dtype)
        self.scaffold: Scaffold = build_scaffold(shape, config.scaffold, env.episode_length)
        encoder = getattr(self.scaffold, "encoder", None)
        if isinstance(encoder, PixelEncoder):
            encoder.to(ranks.device)  # every step of every environment goes through it
        self.whitening = build_whitening(config.task_reward, self.scaffold)

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Fit the scaffold to the reservoir, and measure the rewards of its tasks (the E-step)."""
        trajectories = self.reservoir.trajectories
        figures = self.scaffold.fit(trajectories, generator, self.ranks)
        self.whitening.measure(self.scaffold, trajectories, generator)
        if self.config.curriculum.recent:
            self.reservoir.forget()
        return figures

    def sample(self, num: int, generator: Generator) -> ScaffoldReward:
        """The rewards of tasks z ~ q(z)."""
        tasks = self.scaffold.sample_tasks(num, generator)
        return ScaffoldReward(self.scaffold, tasks, self.config.task_reward, self.whitening)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Offer the trajectories of each trial's last episodes to the reservoir."""
        kept = kept_trajectories(trials, reward, self.config)
        self.reservoir.add(rearrange(kept, "e n t ... -> (e n) t ..."), generator)
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Reservoir, scaffold and whitening."""
        parts = {
            "reservoir": self.reservoir.state_dict(),
            "scaffold": self.scaffold.state_dict(),
            "whitening": self.whitening.state_dict(),
        }
        return state_dicts.join(parts)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        for name in ("reservoir", "scaffold", "whitening"):
            getattr(self, name).load_state_dict(state_dicts.part(state, name))


class GivenTasks:
    """Given tasks, as reward and success functions: an environment's distribution, or one task.

    Args:
        sample: the functions of tasks for a number of environments.

    Source: Thesis 4.5.1: the oracle ("supervised meta-learning"), and "PPO from scratch on each
    evaluation task".
    """

    def __init__(self, sample: Callable[[int, Generator], TaskFunctions]) -> None:
        self._sample = sample
        self.reward_stats = RunningMeanStd()

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Nothing: the tasks stay as they are."""
        return {}

    def sample(self, num: int, generator: Generator) -> TaskReward:
        """Tasks for a batch of trials, whitened together."""
        return TaskReward(self._sample(num, generator), self.reward_stats, learning=True)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Return and success of the update's trials; nothing is learned about tasks."""
        if not isinstance(reward, TaskReward):
            return {}
        figures = {"return_last": float(reward.returns[-1].mean())}
        if reward.task.success_fn is not None:
            figures["solved_last"] = float(reward.reached[-1].float().mean())
        return figures

    def state_dict(self) -> dict[str, Tensor]:
        """The running mean and std of rewards."""
        return self.reward_stats.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self.reward_stats.load_state_dict(state)


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

    def resample_world(self) -> None:
        """New worlds."""
        self.inner.resample_world()

    def step(self, actions: Shaped[Tensor, "e *a"]) -> Step:
        """What the actions lead to, with the tasks."""
        step = self.inner.step(actions)
        return dataclasses.replace(step, observation=self._tell(step.observation))

    def ground_truth(self) -> GroundTruth:
        """The true state of the world."""
        return self.inner.ground_truth()

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

    def __init__(self, told: Reward, width: int) -> None:
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

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """The E-step."""
        return self.inner.fit_tasks(generator)

    def sample(self, num: int, generator: Generator) -> UntoldReward:
        """Tasks, which the environments tell the policy from now on."""
        reward = self.inner.sample(num, generator)
        self.env.context = describe(reward.tasks, self.env.width)
        return UntoldReward(reward, self.env.width)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Offer the trajectories to the reservoir, without what was told."""
        width = self.env.width
        untold = dataclasses.replace(
            trials,
            observations=trials.observations[..., :-width],
            final=trials.final[..., :-width],
        )
        return self.inner.update(untold, reward, generator)

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

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Nothing."""
        return {}


def describe(tasks: Shaped[Tensor, "e *z"], width: int) -> Float[Tensor, "e d"]:
    """What a policy is told of tasks: one-hot numbers, or the vectors themselves."""
    return tasks if tasks.ndim == 2 else functional.one_hot(tasks, width).float()


def build_source(
    config: CARMLConfig, env: BatchEnv, ranks: DistributedContext, run: Path
) -> TaskSource:
    """What ``config.method`` trains on.

    Args:
        config: of the whole run.
        env: as :func:`wrap` gives it.
        ranks: of the run.
        run: the run's folder, where a pipelined run keeps its skills.
    """
    match config.method:
        case "oracle":
            return GivenTasks(partial(_sample_train_tasks, config))
        case "ppo":
            assert config.task is not None
            task = parse(config.task, config.environment.name)
            return GivenTasks(lambda num, generator: task)
        case "rnd":
            return NoveltySource(config, env, ranks)
        case "metra":
            return MetraSource(config, env, ranks)
        case "contextual":
            assert isinstance(env, ContextualEnv)
            return ContextualTasks(config, env, ranks)
        case "pipelined":
            return FrozenTasks(config, env, ranks, run / SKILLS)
        case "online-discriminator" | "pretrained-discriminator":
            return DiscriminatorSource(config, env, ranks)
        case "carml":
            return Curriculum(config, env, ranks)


def wrap(config: CARMLConfig, env: BatchEnv) -> BatchEnv:
    """The environments as ``config.method`` shows them to its policy."""
    if config.method != "contextual":
        return env
    scaffold = config.scaffold
    width = scaffold.vae.width if scaffold.kind == "vae" else scaffold.mixture.components
    return ContextualEnv(env, width)


def _sample_train_tasks(config: CARMLConfig, num: int, generator: Generator) -> TaskFunctions:
    return sample_tasks(config.environment, num, generator, "train")

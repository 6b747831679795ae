"""Rewards of the scaffold's tasks (Eq. 4.8), whitened and averaged over a window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from scalable_binding.carml.config import RewardConfig
from scalable_binding.carml.scaffold import Scaffold
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.nn.running_mean_std import RunningMeanStd

DEVIATION_FLOOR = 1e-4
NUM_REFERENCES = 4096

Whiten = Callable[[Float[Tensor, " e"], Bool[Tensor, " e"]], Float[Tensor, " e"]]
"""Whitens the rewards of a step, one a task; the second says in which an episode still runs."""


def combine(
    conditional: Float[Tensor, "*b"], marginal: Float[Tensor, "*b"], weight: float
) -> Float[Tensor, "*b"]:
    """The reward lambda log q(s|z) - log q(s).

    Source: Thesis Eq. 4.8 (4.25, 4.37). The form (4.9) leaves out - log q(z), which is another
    number for every task.
    """
    return weight * conditional - marginal


def combine_discriminative(
    posterior: Float[Tensor, "*b"],
    marginal: Float[Tensor, "*b"],
    prior: Float[Tensor, "*b"],
    weight: float,
) -> Float[Tensor, "*b"]:
    """The reward lambda log q(z|s) + (lambda - 1) log q(s) - lambda log p(z).

    Args:
        posterior: log q(z|s).
        marginal: log q(s).
        prior: log p(z).
        weight: lambda.

    Source: Thesis Eq. 4.33 with its constant, - lambda log p(z), written out.
    """
    return weight * (posterior - prior) + (weight - 1) * marginal


@runtime_checkable
class Whitening(Protocol):
    """Statistics of rewards, task by task."""

    def measure(
        self,
        scaffold: Scaffold,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
    ) -> None:
        """Begin with the tasks of a scaffold that has just been fit."""
        ...

    def open(self, scaffold: Scaffold, tasks: Shaped[Tensor, "e *z"]) -> Whiten:
        """What whitens the rewards of these tasks."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics, always in the same shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state_dict`` gave."""
        ...


class ReservoirWhitening:
    """Each task is whitened against the same states: some of the trajectories it was made from.

    What a reward means to the agent then stays the same for as long as the task does, however
    good the agent becomes at it.

    Args:
        width: of an encoded state.
        weight: lambda.
        num: states that are measured.
    """

    def __init__(self, width: int, weight: float, num: int = NUM_REFERENCES) -> None:
        self.weight = weight
        self.features = torch.zeros(num, width, dtype=torch.float64)
        self.marginals = torch.zeros(num, dtype=torch.float64)

    def measure(
        self,
        scaffold: Scaffold,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
    ) -> None:
        """Draw the reference states anew."""
        states = rearrange(trajectories, "n t ... -> (n t) ...")
        chosen = torch.randint(len(states), (len(self.features),), generator=generator)
        self.features = scaffold.encode(states[chosen]).double()
        self.marginals = scaffold.marginal(self.features).double()

    def open(self, scaffold: Scaffold, tasks: Shaped[Tensor, "e *z"]) -> Whiten:
        """Whitens with the mean and the deviation over the reference states."""
        conditional = scaffold.log_likelihood(self.features, tasks)
        rewards = combine(conditional, self.marginals[:, None].expand_as(conditional), self.weight)
        deviation, mean = torch.std_mean(rewards, dim=0, correction=0)
        deviation = deviation.clamp(min=DEVIATION_FLOOR)
        return lambda rewards, active: (rewards - mean) / deviation

    def state_dict(self) -> dict[str, Tensor]:
        """The reference states."""
        return {"features": self.features, "marginals": self.marginals}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state_dict`` gave."""
        self.features, self.marginals = state["features"].clone(), state["marginals"].clone()


class RunningWhitening:
    """Each task is whitened with the running mean and std of all rewards it has paid so far.

    A continuum of tasks shares one pair. They start anew with each scaffold.

    Args:
        num_tasks: of the scaffold, or None.

    Source: Thesis 4.7.2, "Reward Normalization".
    """

    def __init__(self, num_tasks: int | None) -> None:
        self.num_tasks = num_tasks
        self.stats = RunningMeanStd(num_tasks or 1)

    def measure(
        self,
        scaffold: Scaffold,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
    ) -> None:
        """Forget the tasks of before."""
        self.stats.reset()

    def open(self, scaffold: Scaffold, tasks: Shaped[Tensor, "e *z"]) -> Whiten:
        """Takes in the rewards of a step, then whitens them."""
        groups = tasks if self.num_tasks else torch.zeros(len(tasks), dtype=torch.int64)

        def whiten(rewards: Tensor, active: Tensor) -> Tensor:
            self.stats.update(rewards[active], groups[active])
            return self.stats.normalize(rewards, groups)

        return whiten

    def state_dict(self) -> dict[str, Tensor]:
        """Counts, means and sums of squares."""
        return self.stats.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state_dict`` gave."""
        self.stats.load_state_dict(state)


def build_whitening(config: RewardConfig, scaffold: Scaffold) -> Whitening:
    """What ``config.whitening`` names, for the tasks of a scaffold."""
    if config.whitening == "running":
        return RunningWhitening(scaffold.num_tasks)
    return ReservoirWhitening(scaffold.width, config.weight)


class MovingAverage:
    """The mean of the last ``window`` rewards of an episode; of fewer at its beginning.

    Source: Thesis 4.7.2, "Temporally Smoothed Reward", whose sum has window + 1 terms.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._last: list[Float[Tensor, " e"]] = []

    def restart(self) -> None:
        """A new episode begins: nothing of the last one counts."""
        self._last = []

    def __call__(self, rewards: Float[Tensor, " e"]) -> Float[Tensor, " e"]:
        """The mean of these rewards and those before them."""
        self._last = [*self._last[-(self.window - 1) :], rewards] if self.window > 1 else [rewards]
        return torch.stack(self._last).mean(0)


class ScaffoldReward:
    """The rewards of a scaffold's tasks, one an environment: whitened, then smoothed.

    Args:
        scaffold: whose tasks they are.
        tasks: one an environment.
        config: lambda and the window.
        whitening: of the rewards.
    """

    def __init__(
        self,
        scaffold: Scaffold,
        tasks: Shaped[Tensor, "e *z"],
        config: RewardConfig,
        whitening: Whitening,
    ) -> None:
        self.scaffold, self.tasks, self.config = scaffold, tasks, config
        self._whiten = whitening.open(scaffold, tasks)
        self._smooth = MovingAverage(config.window)
        self._active = torch.ones(len(tasks), dtype=torch.bool)

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new episode, with no rewards yet to average with."""
        self._smooth.restart()
        self._active = torch.ones_like(self._active)

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """What the agent sees for having come to ``step.observation``."""
        rewards = self.raw(step.observation)
        whitened = self._whiten(rewards, self._active)
        self._active = ~step.done
        return self._smooth(whitened).float()

    def raw(self, observation: Shaped[Tensor, "e *obs"]) -> Float[Tensor, " e"]:
        """The rewards of states, neither whitened nor smoothed (Eq. 4.8)."""
        features = self.scaffold.encode(observation)
        conditional = self.scaffold.paired_log_likelihood(features, self.tasks)
        return combine(conditional, self.scaffold.marginal(features), self.config.weight)

"""CARML's own tasks: components of a density that is fit to what the agent has done."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Generator, Tensor

from scalable_binding.carml import states
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.reservoir import Reservoir
from scalable_binding.carml.reward import ScaffoldReward, build_whitening
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.carml.scaffold import Scaffold, build_scaffold
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs.batch import BatchEnv


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
        self.whitening = build_whitening(config.pay, self.scaffold)

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """Fit the scaffold to the reservoir, and measure the rewards of its tasks (the E-step)."""
        trajectories = self.reservoir.trajectories
        figures = self.scaffold.fit(trajectories, generator, self.ranks)
        self.whitening.measure(self.scaffold, trajectories, generator)
        if self.config.curriculum.recent:
            self.reservoir.forget()
        return figures

    def draw(self, num: int, generator: Generator) -> ScaffoldReward:
        """The rewards of tasks z ~ q(z)."""
        tasks = self.scaffold.sample_tasks(num, generator)
        return ScaffoldReward(self.scaffold, tasks, self.config.pay, self.whitening)

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Offer the trajectories of each trial's last episodes to the reservoir."""
        kept = trials.trajectories[:, -self.config.curriculum.kept_episodes :]
        self.reservoir.add(rearrange(kept, "e n t ... -> (e n) t ..."), generator)
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Reservoir, scaffold and whitening."""
        parts = {
            "reservoir": self.reservoir.state_dict(),
            "scaffold": self.scaffold.state_dict(),
            "whitening": self.whitening.state_dict(),
        }
        return states.join(parts)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        for name in ("reservoir", "scaffold", "whitening"):
            getattr(self, name).load_state_dict(states.part(state, name))

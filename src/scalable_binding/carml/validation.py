"""How well an agent does given tasks: what selects an iterate, and what tables are made of."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from scalable_binding.carml import states
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.given import GivenReward, Moments
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import collect
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit import is_due
from scalable_binding.engine.randomness import derive, generator
from scalable_binding.engine.trainer import Trainer
from scalable_binding.envs import registry
from scalable_binding.envs import tasks as test_tasks
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.tasks import TaskBatch
from scalable_binding.errors import UserError

SEED = 1
"""Of validation, beside that of the run."""

UNVALIDATED = ("ppo", "contextual")
"""Methods whose policy is for one task, or is told its task: the last iterate is kept."""


class Outcome(NamedTuple):
    """Of each trial and episode: whether the goal was reached at some step, and the return."""

    reached: Bool[Tensor, "e n"]
    returns: Float[Tensor, "e n"]


def measure(
    policy: Policy,
    env: BatchEnv,
    tasks: TaskBatch,
    episodes: int,
    generator: Generator,
    moments: Moments | None = None,
) -> Outcome:
    """What a policy achieves in trials of given tasks, without a gradient.

    Args:
        policy: draws its actions.
        env: a batch of as many environments as there are tasks.
        tasks: one an environment.
        episodes: in a trial.
        generator: of the actions.
        moments: what whitens the rewards; by default a first batch of trials, which does not
            count, finds the statistics.

    Source: Thesis 4.5.2: direct transfer in four episodes; rewards as in 4.7.2.
    """
    if moments is None:
        moments = Moments()
        collect(env, policy, GivenReward(tasks, moments, learning=True), episodes, generator)
    reward = GivenReward(tasks, moments, learning=False)
    collect(env, policy, reward, episodes, generator)
    return Outcome(torch.stack(reward.reached, dim=1), torch.stack(reward.returns, dim=1))


class Validation:
    """Trials of the environment's validation tasks, now and then, and the best weights so far.

    Every rank does its share of the tasks. The same tasks come each time. Without tasks to
    validate on, nothing is ever selected, and ``weights`` stays None.

    Args:
        config: of the whole run.
        ranks: of the run.

    Attributes:
        score: share of tasks that the best iterate solved in its last episode; -1 before any.
        step: of the best iterate.
        weights: of the best iterate, by name.

    Source: Thesis 4.7.2, "Model Selection".
    """

    def __init__(self, config: CARMLConfig, ranks: DistributedContext) -> None:
        self.config, self.ranks = config, ranks
        self.score, self.step = -1.0, 0
        self.weights: dict[str, Tensor] | None = None
        every = 0 if config.method in UNVALIDATED else config.validation.every
        self.tasks = self._draw() if every else None
        if self.tasks is not None:
            settings, seed = config.environment, derive(config.fit.seed, SEED, ranks.rank)
            self.env = registry.make(settings.name, len(self.tasks), seed, **settings.arguments())
            self._fresh = {name: t.clone() for name, t in self.env.state_dict().items()}

    def select(
        self, trainer: Trainer, step: int, moments: Moments | None = None
    ) -> dict[str, float]:
        """Validate after update ``step`` if it is due; figures for the log (every rank calls).

        ``moments`` whiten the rewards of an agent that learns given tasks, as in its training.
        """
        config = self.config
        if self.tasks is None or not is_due(step, config.validation.every, config.fit):
            return {}
        policy = trainer.refresh_inference()
        assert isinstance(policy, Policy)
        place = (SEED, step, self.ranks.rank)
        random = generator(config.fit.seed, *place, device=self.ranks.device)
        episodes = config.curriculum.episodes
        self.env.load_state_dict(self._fresh)  # the same worlds each time, also in a resumed run
        outcome = measure(policy, self.env, self.tasks, episodes, random, moments)
        shares = self.ranks.mean(outcome.reached.float().mean(dim=0))
        if shares[-1] >= self.score:
            self.score, self.step = float(shares[-1]), step
            self.weights = {n: t.clone() for n, t in trainer.average.whole().items()}
        return {f"solved_{n}": float(share) for n, share in enumerate(shares, start=1)}

    def state_dict(self, trainer: Trainer) -> dict[str, Tensor]:
        """Score, step and weights; before the first selection the present average stands in."""
        if self.tasks is None:
            return {}
        weights = self.weights or {n: t.clone() for n, t in trainer.average.whole().items()}
        figures = {"score": torch.tensor(self.score), "step": torch.tensor(self.step)}
        return figures | states.join({"weights": weights})

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        if self.tasks is None:
            return
        self.score, self.step = float(state["score"]), int(state["step"])
        if self.score >= 0:
            self.weights = states.part(state, "weights")

    def close(self) -> None:
        """Let go of the environments."""
        if self.tasks is not None:
            self.env.close()

    def _draw(self) -> TaskBatch | None:
        """This rank's share of the validation tasks, or none where the environment has no tasks."""
        config = self.config
        num = -(-config.validation.num_tasks // self.ranks.size)
        random = generator(config.fit.seed, SEED, 0, self.ranks.rank)
        try:
            return test_tasks.draw(config.environment.name, num, random, "validation")
        except UserError as error:
            warnings.warn(
                f"validation.every is ignored, the last iterate is kept: {error}", stacklevel=2
            )
            return None

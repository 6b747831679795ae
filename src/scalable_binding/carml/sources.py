"""Where an agent's training tasks come from."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

from scalable_binding.carml.asked import OneTask, parse
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.contextual import ContextualEnv, ContextualTasks, FrozenTasks
from scalable_binding.carml.curriculum import Curriculum
from scalable_binding.carml.discriminator import DiscriminatorTasks
from scalable_binding.carml.given import GivenTasks
from scalable_binding.carml.novelty import Novelty
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs.batch import BatchEnv

SKILLS = "skills"
"""Folder of a pipelined run in which the contextual policy trains."""


@runtime_checkable
class TaskSource(Protocol):
    """Tasks that are made, drawn, and made again from what the agent did with them."""

    def reorganize(self, generator: Generator) -> dict[str, float]:
        """Make the tasks anew (the E-step); figures for the log."""
        ...

    def draw(self, num: int, generator: Generator) -> Reward:
        """Tasks for the next ``num`` trials, as what rewards them."""
        ...

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Take in what the agent did; figures for the log."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact continuation needs, always under the same names and shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        ...


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
            return GivenTasks(config.environment.name)
        case "ppo":
            assert config.task is not None
            return OneTask(parse(config.task, config.environment.name))
        case "rnd":
            return Novelty(config, env, ranks)
        case "contextual":
            assert isinstance(env, ContextualEnv)
            return ContextualTasks(config, env, ranks)
        case "pipelined":
            return FrozenTasks(config, env, ranks, run / SKILLS)
        case "online-discriminator" | "pretrained-discriminator":
            return DiscriminatorTasks(config, env, ranks)
        case "carml":
            return Curriculum(config, env, ranks)


def wrap(config: CARMLConfig, env: BatchEnv) -> BatchEnv:
    """The environments as ``config.method`` shows them to its policy."""
    if config.method != "contextual":
        return env
    scaffold = config.scaffold
    width = scaffold.vae.width if scaffold.kind == "vae" else scaffold.mixture.components
    return ContextualEnv(env, width)

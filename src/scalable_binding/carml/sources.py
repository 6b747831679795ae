"""Where an agent's training tasks come from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.curriculum import Curriculum
from scalable_binding.carml.given import GivenTasks
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine.distributed import Ranks
from scalable_binding.envs.batch import BatchEnv


@runtime_checkable
class TaskSource(Protocol):
    """Tasks that are made, drawn, and made again from what the agent did with them."""

    def reorganise(self, generator: Generator) -> dict[str, float]:
        """Make the tasks anew (the E-step); figures for the log."""
        ...

    def draw(self, num: int, generator: Generator) -> Reward:
        """Tasks for the next ``num`` trials, as what rewards them."""
        ...

    def absorb(self, trials: Trials, reward: Reward, generator: Generator) -> None:
        """Take in what the agent did."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact continuation needs, always under the same names and shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        ...


def build_source(config: CARMLConfig, env: BatchEnv, ranks: Ranks) -> TaskSource:
    """What ``config.method`` trains on."""
    if config.method == "oracle":
        return GivenTasks(config.environment.name)
    return Curriculum(config, env, ranks)

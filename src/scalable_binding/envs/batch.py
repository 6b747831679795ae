"""What every batch of environments offers, whatever world it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gymnasium import spaces
from jaxtyping import Bool, Float32, Shaped
from torch import Tensor

Observations = Shaped[Tensor, "e *obs"]
"""uint8 pixels (e 3 h w) or float32 states (e d)."""

Actions = Shaped[Tensor, "e *a"]
"""int64 choices (e) or float32 vectors (e a)."""

GroundTruth = dict[str, Tensor]
"""What evaluation may know and the agent may not: "position" (e 2), "heading" (e), ..."""


@dataclass(frozen=True)
class Step:
    """What a batch of environments answers to its actions.

    Attributes:
        observation: after the step.
        reward: the environment's own; 0 where it has none, and after an episode's end.
        done: the episode is over, now or before.
    """

    observation: Observations
    reward: Float32[Tensor, " e"]
    done: Bool[Tensor, " e"]


@runtime_checkable
class BatchEnv(Protocol):
    """Environments that are stepped together, in episodes of one fixed length.

    An environment that ends early stays done until the next ``reset``: its last observation
    repeats and its reward is 0. All randomness comes from the seed given to the constructor.

    Attributes:
        num_envs: how many environments there are.
        episode_length: steps in an episode.
        observation_space: of one environment: uint8 (3 h w) or float32 (d).
        action_space: of one environment.
    """

    num_envs: int
    episode_length: int
    observation_space: spaces.Box
    action_space: spaces.Discrete | spaces.Box

    def resample_world(self) -> None:
        """Draw another world for every environment, where there is more than one.

        The episodes of a trial share a world: this comes before the first ``reset`` of each.
        """
        ...

    def reset(self) -> Observations:
        """The first observations of a new episode in every environment."""
        ...

    def step(self, actions: Actions) -> Step:
        """What the actions, one an environment, lead to."""
        ...

    def ground_truth(self) -> GroundTruth:
        """The true state, for evaluation only; empty where a world does not tell it."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact continuation needs, always in the same shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        ...

    def close(self) -> None:
        """Let go of processes, windows and files."""
        ...

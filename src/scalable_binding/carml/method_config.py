"""Configuration of methods beside CARML with networks of their own. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from scalable_binding.errors import check_settings, require


@dataclass(frozen=True, kw_only=True)
class RNDConfig:
    """Random network distillation: a network learns what a random one says; errors are novelty.

    Source: Burda et al., Exploration by Random Network Distillation, 2019.
    """

    width: int = 512  # of what the random network says.
    lr: float = 1e-4  # of Adam.
    steps: int = 4  # gradient steps after each update of the agent.
    batch_size: int = 512  # states in a gradient step.

    def __post_init__(self) -> None:
        check_settings(self, "rnd.", counts="width steps batch_size", positive="lr")


@dataclass(frozen=True, kw_only=True)
class MetraConfig:
    """METRA: skills z, and phi(s), in which a step is at most one long.

    Source: Park et al., METRA, 2024 (Table 1: slack 1e-3, first multiplier 30, lr 1e-4).
    """

    width: int = 2  # of phi and of skills.
    is_discrete: bool = False  # skills are as many as phi is wide; else points of a sphere.
    slack: float = 1e-3  # of the constraint (eps).
    first_multiplier: float = 30.0  # of the constraint (lambda).
    lr: float = 1e-3  # of Adam, for phi and the multiplier.
    steps: int = 20  # gradient steps after each update of the agent.
    batch_size: int = 512  # transitions in a gradient step.

    def __post_init__(self) -> None:
        check_settings(
            self,
            "metra.",
            counts="width steps batch_size",
            least_zero="slack",
            positive="first_multiplier lr",
        )
        enough = self.width >= (2 if self.is_discrete else 1)
        require("metra.width", self.width, enough, "at least 2 discrete skills")

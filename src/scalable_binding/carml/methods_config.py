"""Settings of what CARML is compared with, and of where a run starts. Torch is not imported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scalable_binding.errors import require

Method = Literal[
    "carml",
    "oracle",
    "ppo",
    "rnd",
    "pipelined",
    "contextual",
    "online-discriminator",
    "pretrained-discriminator",
]
"""Where training tasks come from. "carml": a mixture of what the agent does, made anew in rounds.
"oracle": the environment's own training tasks. "ppo": the one task that ``task`` names. "rnd": no
task, novelty. "pipelined": a contextual policy makes the tasks ("contextual" alone trains it),
then they stay, and the agent learns them. "online-discriminator", "pretrained-discriminator": a
classifier of tasks that learns with the agent, from scratch or after a mixture."""


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """A classifier q(z|s) in place of a density.

    Args:
        temperature: of its softmax; below 3 tasks collapse at once.
        hidden: units of its two layers (on features, for pixels).
        lr: of Adam.
        steps: gradient steps after each update of the agent. With few of them the classifier lags
            behind, and what it pays stays low for as long.
        first_steps: gradient steps on the mixture's labels, for the pre-trained one.
        batch_size: states in a gradient step.
        whitening: of what it pays, in place of ``reward.whitening``. "running" makes noise of a
            classifier that is sure everywhere, and the agent acts at random.

    Source: Thesis 4.7.5 (temperature); the rest is not given there.
    """

    temperature: float = 3.0
    hidden: int = 64
    lr: float = 3e-3
    steps: int = 40
    first_steps: int = 300
    batch_size: int = 512
    whitening: Literal["reservoir", "running"] = "reservoir"

    def __post_init__(self) -> None:
        for name in ("temperature", "lr"):
            value = getattr(self, name)
            require(f"discriminator.{name}", value, 0 < value < math.inf, "a number above 0")
        for name in ("hidden", "steps", "first_steps", "batch_size"):
            value = getattr(self, name)
            require(f"discriminator.{name}", value, value >= 1, "at least 1")
        kinds = ("reservoir", "running")
        require(
            "discriminator.whitening", self.whitening, self.whitening in kinds, " or ".join(kinds)
        )


@dataclass(frozen=True, kw_only=True)
class RNDConfig:
    """Random network distillation: a network learns what a random one says; errors are novelty.

    Args:
        width: of what the random network says.
        lr: of Adam.
        steps: gradient steps after each update of the agent.
        batch_size: states in a gradient step.

    Source: Burda et al., Exploration by Random Network Distillation, 2019.
    """

    width: int = 512
    lr: float = 1e-4
    steps: int = 4
    batch_size: int = 512

    def __post_init__(self) -> None:
        require("rnd.lr", self.lr, 0 < self.lr < math.inf, "a number above 0")
        for name in ("width", "steps", "batch_size"):
            require(f"rnd.{name}", getattr(self, name), getattr(self, name) >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """Weights that a run begins with.

    Args:
        weights: a run folder, or a file of weights; none: drawn from the seed.
        part: "policy", all of it, or "encoder", what turns observations into features.

    Source: Thesis 4.5.4, Fig. 4.9.
    """

    weights: str | None = None
    part: Literal["policy", "encoder"] = "policy"

    def __post_init__(self) -> None:
        parts = ("policy", "encoder")
        require("start.part", self.part, self.part in parts, " or ".join(parts))

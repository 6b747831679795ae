"""Settings of CARML. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from scalable_binding.carml.methods_config import (
    DiscriminatorConfig,
    Method,
    RNDConfig,
    StartConfig,
)
from scalable_binding.carml.scaffold_config import RewardConfig, ScaffoldConfig
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.errors import UserError, require, require_least


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Proximal policy optimization over whole trials (4.7.2).

    Args:
        epochs: passes over the trials of an update.
        minibatches: gradient steps in each pass; trials are never cut.
        clip: how far a probability ratio counts (eps).
        value_weight: of half the squared error of values.
        value_clip: how far a value may move in an update; None: as far as it likes.
        entropy_weight: of the bonus for undecided policies.
        discount: of later rewards (gamma).
        smoothing: lambda of the advantage estimates.
        reward_scale: of the rewards behind advantages and values; the agent sees them unscaled.
        normalize: whiten the advantages of an update.
    """

    epochs: int = 10
    minibatches: int = 1
    clip: float = 0.2
    value_weight: float = 0.1
    value_clip: float | None = None
    entropy_weight: float = 0.01
    discount: float = 0.99
    smoothing: float = 0.95
    reward_scale: float = 1.0
    normalize: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            require_least(f"ppo.{name}", getattr(self, name), 1)
        for name in ("clip", "reward_scale"):
            value = getattr(self, name)
            require(f"ppo.{name}", value, value > 0, "a number above 0")
        for name in ("value_weight", "entropy_weight"):
            value = getattr(self, name)
            require(f"ppo.{name}", value, value >= 0, "a number of at least 0")
        for name in ("discount", "smoothing"):
            value = getattr(self, name)
            require(f"ppo.{name}", value, 0 <= value <= 1, "a number in [0, 1]")
        limit = self.value_clip
        require("ppo.value_clip", limit, limit is None or limit > 0, "above 0, or none")


@dataclass(frozen=True, kw_only=True)
class EnvironmentConfig:
    """Where the agent lives.

    Args:
        name: of the registry (maze, room, vizdoom-fixed, ...), or the id of a Gymnasium
            environment.
        options: NAME=VALUE each, such as "layout=rooms"; values are read as YAML.
    """

    name: str = "maze"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(self.options))
        self.arguments()

    def arguments(self) -> dict[str, Any]:
        """The options by name.

        Raises:
            UserError: an option is no NAME=VALUE.
        """
        found = {}
        for option in self.options:
            name, equals, value = option.partition("=")
            try:
                found[name.strip()] = yaml.safe_load(value)
            except yaml.YAMLError:
                equals = ""
            if not equals:
                raise UserError("environment.options", expected="NAME=VALUE", got=repr(option))
        return found


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The agent's network (4.7.2).

    Args:
        channels, kernels, strides: of the convolutions on pixels.
        widths: of the layers between convolutions, or states, and the recurrent network.
        recurrence: "gru" or "lstm".
        hidden: width of the recurrent network.
        head: hidden units of the heads of policy and value.
    """

    channels: tuple[int, ...] = (16, 16)
    kernels: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    widths: tuple[int, ...] = (256,)
    recurrence: Literal["gru", "lstm"] = "gru"
    hidden: int = 512
    head: int = 256

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides", "widths"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            require(f"model.{name}", values, min(values, default=1) >= 1, "numbers of at least 1")
        count = len(self.channels)
        same = count >= 1 and len(self.kernels) == len(self.strides) == count
        require("model.channels", self.channels, same, "as many as kernels and strides")
        for name in ("hidden", "head"):
            require_least(f"model.{name}", getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class CurriculumConfig:
    """How tasks and agent take turns (4.7.2).

    Args:
        period: updates of the agent between two E-steps.
        episodes: in a trial.
        reservoir: trajectories that the tasks are made of.
        kept_episodes: how many of a trial's last episodes go into the reservoir: those of an
            agent that has adapted.
        first_trials: of the fresh policy, before the first E-step.
        recent: after each E-step the reservoir counts its content as all it was ever offered. A
            round then weighs more than those before it, and short runs leave their start behind;
            the thesis' reservoir weighs all rounds alike.
    """

    period: int = 500
    episodes: int = 4
    reservoir: int = 1000
    kept_episodes: int = 1
    first_trials: int = 250
    recent: bool = False

    def __post_init__(self) -> None:
        for name in ("period", "episodes", "reservoir", "kept_episodes", "first_trials"):
            require_least(f"curriculum.{name}", getattr(self, name), 1)
        kept = self.kept_episodes
        expected = f"at most the {self.episodes} episodes of a trial"
        require("curriculum.kept_episodes", kept, kept <= self.episodes, expected)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """What selects the iterate that is kept (4.7.2).

    Args:
        every: updates between validations; 0 keeps the last iterate.
        num_tasks: of the environment's validation split.
    """

    every: int = 25
    num_tasks: int = 10

    def __post_init__(self) -> None:
        require_least("validation.every", self.every, 0)
        require_least("validation.num_tasks", self.num_tasks, 1)


@dataclass(frozen=True, kw_only=True)
class CARMLConfig:
    """Everything that defines a training run.

    ``fit.steps`` counts updates, each on the trials of ``fit.batch_size`` tasks.

    Args:
        method: where training tasks come from.
        task: what the agent is to do, with method "ppo"; as ``sbind carml adapt`` takes it.
        start: weights to begin with.
    """

    method: Method = "carml"
    task: str | None = None
    start: StartConfig = field(default_factory=StartConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    scaffold: ScaffoldConfig = field(default_factory=ScaffoldConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    rnd: RNDConfig = field(default_factory=RNDConfig)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if self.fit.fsdp:
            raise UserError("fit.fsdp", expected="false: agents act on each rank", got="true")
        if (self.method == "ppo") != (self.task is not None):
            expected = "a task with method ppo, and none with another"
            raise UserError("task", expected=expected, got=f"{self.task} with {self.method}")

    @property
    def discriminates(self) -> bool:
        """Whether a classifier stands in place of a density."""
        return self.method.endswith("discriminator")

    @property
    def pay(self) -> RewardConfig:
        """What tasks pay: ``reward``, whitened as the method has it."""
        if self.discriminates:
            return replace(self.reward, whitening=self.discriminator.whitening)
        return self.reward

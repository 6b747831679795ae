"""Settings of :func:`scalable_binding.engine.fit.fit`. Torch is not imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from scalable_binding.errors import require, require_least, require_one_of


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How gradients become updates.

    ``weight_decay`` is decoupled for "adamw", "lamb" and "muon", and added to the gradient (an l2
    penalty) for "adam". Parameters with fewer than two dimensions (biases, scales of norms) are
    never decayed, LAMB does not adapt their step to their norm, and Muon moves them as "adamw"
    would, at the same rate.
    """

    name: Literal["adam", "adamw", "lamb", "muon"] = "adam"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        require_one_of("optimizer.name", self.name, ("adam", "adamw", "lamb", "muon"))
        require("optimizer.lr", self.lr, self.lr >= 0, "a number of at least 0")
        rates = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        require("optimizer.betas", self.betas, rates, "two rates in [0, 1)")
        require("optimizer.eps", self.eps, self.eps > 0, "a number above 0")
        decay = self.weight_decay
        require("optimizer.weight_decay", decay, decay >= 0, "a number of at least 0")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rate goes: up linearly for ``warm_up`` steps, then along a curve.

    ``curve`` is "constant", "cosine" (half a period, to 0) or "cosine@r" with r in (0, 1]: only
    that fraction of the half period, so that the last rate is still above 0.
    """

    warm_up: int = 0
    curve: str = "constant"

    def __post_init__(self) -> None:
        require("schedule.warm_up", self.warm_up, self.warm_up >= 0, "steps, at least 0")
        valid = self.curve == "constant" or 0 < self.cosine_fraction <= 1
        require("schedule.curve", self.curve, valid, "constant, cosine or cosine@r, 0 < r <= 1")

    @property
    def cosine_fraction(self) -> float:
        """The part of the cosine's half period to run through; 0 for any other curve."""
        match = re.fullmatch(r"cosine(?:@(\d*\.?\d+))?", self.curve)
        return 0.0 if match is None else float(match[1] or 1)


@dataclass(frozen=True, kw_only=True)
class EmaConfig:
    """The running average of the weights, which is what inference loads.

    With ``warm_up`` the decay of step s is at most (1 + s) / (10 + s), so that a short run
    forgets its random start. ``decay=0`` keeps the last weights.
    """

    decay: float = 0.999
    warm_up: bool = True

    def __post_init__(self) -> None:
        require("ema.decay", self.decay, 0 <= self.decay < 1, "a rate in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """One training run.

    Args:
        steps: updates in the whole run.
        batch_size: examples per update, over all ranks together.
        micro_batch_size: examples that go through the model at once; gradients add up over the
            batch. None: all examples of a rank. Results depend on it (it sets what is normalized
            and drawn together), and not on the number of ranks that share the work.
        seed: of data order and of all randomness in the loss.
        max_grad_norm: gradient clipping: largest norm of the whole gradient; None: no clipping.
        bfloat16: run the model under bfloat16 autocast.
        compile: compile the model's ``forward`` (40 s and more before the first step).
        channels_last: keep the weights of convolutions in channels-last order.
        fsdp: shard weights, gradients and optimizer over the ranks instead of copying them.
        device: "auto" (CUDA where there is some), or a name such as "cpu" or "cuda:1".
        num_workers: processes that load data; 0 loads in the training process.
        log_every, save_every: steps between lines of the log, and between checkpoints.
        progress: show a progress line on the terminal.
        tensorboard: write TensorBoard files into the run folder too.
        wandb: project of Weights & Biases that gets the figures too; its package must be there.
    """

    steps: int = 10_000
    batch_size: int = 16
    micro_batch_size: int | None = None
    seed: int = 0
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    max_grad_norm: float | None = None
    bfloat16: bool = False
    compile: bool = False
    channels_last: bool = False
    fsdp: bool = False
    device: str = "auto"
    num_workers: int = 0
    log_every: int = 20
    save_every: int = 1000
    progress: bool = True
    tensorboard: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "log_every", "save_every"):
            value = getattr(self, name)
            require_least(name, value, 1)
        for name in ("steps", "seed", "num_workers"):
            value = getattr(self, name)
            require_least(name, value, 0)
        require("seed", self.seed, self.seed < 2**63, "a number below 2^63")
        clip = self.max_grad_norm
        require("max_grad_norm", clip, clip is None or clip > 0, "a number above 0 or none")
        micro = self.micro_batch_size
        divides = micro is None or (micro >= 1 and self.batch_size % micro == 0)
        require("micro_batch_size", micro, divides, f"a divisor of batch_size {self.batch_size}")

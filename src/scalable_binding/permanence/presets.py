"""Settings of the random walk along memory, and presets. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field

from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig, ScheduleConfig
from scalable_binding.errors import UserError, require, require_least

STRIDE = 4
"""Pixels between neighboring cells of the memory."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network.

    Args:
        widths: channels of the encoder's stages.
        blocks: residual blocks in each stage.
        width: channels of the memory.
        kernel: side of the memory's convolutions; what is hidden can move by half of it a frame.
        node_width: dimension of the nodes that walkers step on.
        memory: False takes what the encoder sees for the memory: the memory-less walk.
        reach: farthest step of a walker along x and y, as a share of the frame's shorter side.
        temperature: of each step.
    """

    widths: tuple[int, ...] = (32, 48)
    blocks: int = 1
    width: int = 48
    kernel: int = 3
    node_width: int = 32
    memory: bool = True
    reach: float = 0.2
    temperature: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or min(self.widths) < 1:
            raise UserError("model.widths", expected="at least one stage", got=str(self.widths))
        for name in ("blocks", "width", "node_width"):
            value = getattr(self, name)
            require_least(f"model.{name}", value, 1)
        odd = self.kernel >= 1 and self.kernel % 2 == 1
        require("model.kernel", self.kernel, odd, "an odd number of at least 1")
        require("model.reach", self.reach, 0 < self.reach <= 1, "a share in (0, 1]")
        require("model.temperature", self.temperature, self.temperature > 0, "a number above 0")


MAX_SIZE = 4096
"""Pixels of the shorter side beyond which frames are not enlarged."""


@dataclass(frozen=True, kw_only=True)
class GameConfig:
    """The games of hide and seek to train on.

    Args:
        size: side of the square frames, in pixels.
        num_frames: frames in a clip.
        num_games: different games; each is shown turned, colored and reversed in many ways.
    """

    size: int = 64
    num_frames: int = 24
    num_games: int = 512

    def __post_init__(self) -> None:
        fits = self.size >= 8 * STRIDE and self.size % STRIDE == 0
        require("games.size", self.size, fits, f"a multiple of {STRIDE} of at least {8 * STRIDE}")
        require("games.num_frames", self.num_frames, self.num_frames >= 2, "at least 2")
        require("games.num_games", self.num_games, self.num_games >= 1, "at least 1")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What is asked of walkers and detections.

    Args:
        walk_weight: of the walk's loss beside that of detection.
        visibility_weight: of telling whether an object is to be seen.
        gamma: how strongly the walk's loss forgets frames in which it is nearly right already.
        occlusion_weight: a frame in which an object is seen again counts 1 + this times the number
            of frames for which it was hidden.
        tolerance: mass within this distance of the true center, in cells, costs nothing.
        restart: every so many frames walkers set out anew from all objects that are to be seen
            then; 0 only in the first frame, as in the paper.
    """

    walk_weight: float = 0.5
    visibility_weight: float = 0.5
    gamma: float = 2.0
    occlusion_weight: float = 20.0
    tolerance: float = 0.0
    restart: int = 0

    def __post_init__(self) -> None:
        for name in (
            "walk_weight",
            "visibility_weight",
            "gamma",
            "occlusion_weight",
            "tolerance",
            "restart",
        ):
            value = getattr(self, name)
            require(f"loss.{name}", value, value >= 0, "a number of at least 0")


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """How objects are followed.

    Args:
        seen: an object counts as seen from this probability on.
        detected: a detection near a seen object sets its place from this height of its peak on.
        near: farthest a detection may be from the walker, in cells.
        rest: a hidden object whose walker is nearer than this, in cells, to where it was last seen
            rests there; 0 follows the walker alone.
        size: frames are shrunk or enlarged to this many pixels on the shorter side; None takes
            that of the frames trained on.
    """

    seen: float = 0.5
    detected: float = 0.2
    near: float = 1.5
    rest: float = 1.5
    size: int | None = None

    def __post_init__(self) -> None:
        for name in ("seen", "detected"):
            value = getattr(self, name)
            require(f"tracking.{name}", value, 0 <= value <= 1, "a probability")
        for name in ("near", "rest"):
            value = getattr(self, name)
            require(f"tracking.{name}", value, value >= 0, "a number of at least 0")
        fits = self.size is None or 8 * STRIDE <= self.size <= MAX_SIZE
        require("tracking.size", self.size, fits, f"{8 * STRIDE} to {MAX_SIZE} pixels")


@dataclass(frozen=True, kw_only=True)
class PermanenceConfig:
    """Everything that defines a training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    games: GameConfig = field(default_factory=GameConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    fit: FitConfig = field(default_factory=FitConfig)


def paper() -> PermanenceConfig:
    """Sizes and weights of the paper (7 x 7 memory, 20 x occlusion), on the synthetic games.

    Command: ``sbind permanence train --preset paper --run RUN`` on a GPU. Not run by us.
    """
    return PermanenceConfig(
        model=ModelConfig(
            widths=(64, 128, 256), blocks=2, width=256, kernel=7, node_width=128, reach=0.2
        ),
        games=GameConfig(size=128, num_frames=32, num_games=8192),
        loss=LossConfig(tolerance=1.5),
        fit=FitConfig(
            steps=100_000,
            batch_size=16,
            optimizer=OptimizerConfig(lr=1.25e-4),
            max_grad_norm=1.0,
            bfloat16=True,
            channels_last=True,
            num_workers=8,
        ),
    )


def small() -> PermanenceConfig:
    """A run of three minutes on one CPU core: frames of 48 pixels, a memory of 12 x 12 cells."""
    return PermanenceConfig(
        model=ModelConfig(widths=(24, 32), width=32, node_width=16),
        games=GameConfig(size=48, num_frames=16, num_games=200),
        loss=LossConfig(restart=5),
        fit=FitConfig(
            steps=1500,
            batch_size=4,
            optimizer=OptimizerConfig(name="adamw", lr=3e-3, weight_decay=1e-4),
            schedule=ScheduleConfig(warm_up=20, curve="cosine"),
            ema=EmaConfig(decay=0.98),
            max_grad_norm=1.0,
            bfloat16=True,
            channels_last=True,
            save_every=100,
        ),
    )


def debug() -> PermanenceConfig:
    """Under 30 seconds on one core: a narrow network on a few short games."""
    return PermanenceConfig(
        model=ModelConfig(widths=(8, 16), width=16, node_width=8),
        games=GameConfig(size=32, num_frames=8, num_games=8),
        loss=LossConfig(occlusion_weight=2.0),
        fit=FitConfig(
            steps=60,
            batch_size=4,
            optimizer=OptimizerConfig(name="adamw", lr=5e-3),
            schedule=ScheduleConfig(warm_up=5, curve="cosine"),
            ema=EmaConfig(decay=0.9),
            max_grad_norm=1.0,
            save_every=30,
        ),
    )

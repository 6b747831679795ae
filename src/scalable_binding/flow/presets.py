"""Settings of the multiscale random walk, and presets. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig, ScheduleConfig
from scalable_binding.errors import UserError, require

NUM_LEVELS = 3
"""Levels of the feature pyramid, at 1/4, 1/8 and 1/16 of the image's size."""

STRIDE = 16
"""Pixels between the nodes of the coarsest level: both sides of a training view are multiples."""


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """The network.

    Args:
        widths: channels of the encoder at 1/2, 1/4, 1/8 and 1/16 of the image's size.
        width: dimension of the nodes' features, the same at every level.
        radius: of the window of a step, in nodes; at each level walkers look this far around the
            place that the coarser level expects.
        peak: the expected displacement of the coarsest level is a mean over the nodes this near to
            the likeliest one, since the mean of two distant modes is a place that neither says.
        temperature: of every step (Eq. 3.1).
        head: channels of the head that refines displacements to fractions of a pixel; 0 for none:
            displacements are then the walk's expectation alone.
        iterations: steps at each level, the coarsest first; each moves the windows to where the
            one before ended.
    """

    widths: tuple[int, ...] = (32, 64, 96, 128)
    width: int = 64
    radius: int = 3
    peak: int = 2
    temperature: float = 0.07
    head: int = 64
    iterations: tuple[int, ...] = (2, 2, 1)

    def __post_init__(self) -> None:
        good = len(self.iterations) == NUM_LEVELS and min(self.iterations) >= 1
        require("network.iterations", self.iterations, good, "three numbers of at least 1")
        if len(self.widths) != NUM_LEVELS + 1 or min(self.widths) < 1:
            raise UserError("network.widths", expected="four widths", got=str(self.widths))
        for name in ("width", "radius", "peak"):
            require(f"network.{name}", getattr(self, name), getattr(self, name) >= 1, "at least 1")
        require("network.head", self.head, self.head >= 0, "at least 0")
        require("network.temperature", self.temperature, self.temperature > 0, "above 0")


@dataclass(frozen=True, kw_only=True)
class FlowClipConfig:
    """What is cut out of the videos.

    Args:
        num_frames: frames in a clip; walks go num_frames - 1 steps out and back.
        fps: frames a second; None takes every frame.
        size: pixels to which the short side is resized; None keeps each video's own scale.
        crop: side of the random square cut out of a clip, in pixels.
        synthetic: share of the clips that come from the synthetic world.
        memory: gigabytes of decoded frames that are kept; what does not fit is decoded again.
    """

    num_frames: int = 2
    fps: float | None = None
    size: int | None = 480
    crop: int = 144
    synthetic: float = 0.5
    memory: float = 0.5

    def __post_init__(self) -> None:
        require("clips.memory", self.memory, self.memory >= 0, "at least 0 gigabytes")
        require("clips.num_frames", self.num_frames, 2 <= self.num_frames <= 4, "2 to 4")
        require("clips.synthetic", self.synthetic, 0 <= self.synthetic <= 1, "a share in [0, 1]")
        require("clips.fps", self.fps, self.fps is None or self.fps > 0, "a rate above 0, or none")
        require("clips.crop", self.crop, self.crop >= 2 * STRIDE, f"at least {2 * STRIDE}")


@dataclass(frozen=True, kw_only=True)
class FlowViewConfig:
    """Views whose true displacement is known by construction, and how views are changed.

    Args:
        size: side of a view, in pixels, cut from the middle of a frame; a multiple of 16.
        shift: largest displacement between two views of one frame, in pixels; drawn
            log-uniformly from ``min_shift`` for each layer.
        min_shift: smallest displacement of a layer, in pixels; ``shift`` may be smaller still.
        bend: amplitude of the smooth, non-rigid part of a displacement, as a share of the rest.
        layers: blobs cut out of other frames of the batch that move in front of a view.
        turn, scale: largest rotation (radians) and log zoom between two views.
        color: strength of the change of brightness, contrast, tint and noise of a view.
    """

    size: int = 112
    shift: float = 32.0
    min_shift: float = 2.0
    bend: float = 0.3
    layers: int = 2
    turn: float = 0.15
    scale: float = 0.12
    color: float = 0.3

    def __post_init__(self) -> None:
        expected = f"a multiple of {STRIDE}"
        require("views.size", self.size, self.size > 0 and self.size % STRIDE == 0, expected)
        for name in ("shift", "bend", "layers", "turn", "scale", "color"):
            require(f"views.{name}", getattr(self, name), getattr(self, name) >= 0, "at least 0")
        require("views.min_shift", self.min_shift, self.min_shift > 0, "above 0 pixels")


@dataclass(frozen=True, kw_only=True)
class FlowLossConfig:
    """The loss: weights of its terms, and what they depend on.

    Args:
        views: of the direct and the consistency term.
        cycle_weight: of -log P(return), over clips, at every scale (Eq. 3.4).
        direct_weight: of walks between two views of one frame, whose ends are known (Eq. 3.3),
            and of the displacements that the head finds there.
        smooth_weight: of the edge-aware smoothness of displacements.
        consistency_weight: of the distance between what is found on changed views of a clip and
            what is found, without gradient, on the clip itself.
        distance_weight: of a pixel's distance beside -log of a probability, in the direct and the
            consistency term.
        clip_rate: share of the batches on which the terms over clips (cycle, smoothness and
            consistency) are computed: they cost three times as much as the direct term.
        eps: added to P(return): the chance that a walker comes home by a way that is not modeled.
            It bounds the loss of a walker whose pixel is hidden.
        starts: walkers an image and level that leave for cycles longer than a step out and back.
        edge: how strongly an edge of the image lets displacements change.
    """

    views: FlowViewConfig = field(default_factory=FlowViewConfig)
    cycle_weight: float = 1.0
    direct_weight: float = 1.0
    smooth_weight: float = 0.1
    consistency_weight: float = 0.3
    distance_weight: float = 0.1
    clip_rate: float = 1.0
    eps: float = 1e-3
    starts: int = 256
    edge: float = 10.0

    def __post_init__(self) -> None:
        for name in ("cycle_weight", "direct_weight", "smooth_weight", "consistency_weight"):
            require(f"loss.{name}", getattr(self, name), getattr(self, name) >= 0, "at least 0")
        require(
            "loss.distance_weight", self.distance_weight, self.distance_weight >= 0, "at least 0"
        )
        terms = (self.cycle_weight, self.smooth_weight, self.consistency_weight)
        learns = self.direct_weight > 0 or any(terms)
        require("loss.direct_weight", self.direct_weight, learns, "some weight above 0, or another")
        require("loss.clip_rate", self.clip_rate, 0 <= self.clip_rate <= 1, "a share in [0, 1]")
        require("loss.eps", self.eps, 0 < self.eps < 1, "a number in (0, 1)")
        require("loss.starts", self.starts, self.starts >= 1, "at least 1")
        require("loss.edge", self.edge, self.edge >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class FlowConfig:
    """Everything that defines a training run."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    clips: FlowClipConfig = field(default_factory=FlowClipConfig)
    loss: FlowLossConfig = field(default_factory=FlowLossConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    picture_every: int = 1000
    """Steps between pictures of the flow of one clip, in the run's folder ``flow``; 0: none."""

    def __post_init__(self) -> None:
        require("picture_every", self.picture_every, self.picture_every >= 0, "at least 0")
        fits = self.loss.views.size <= self.clips.crop
        expected = f"at most clips.crop {self.clips.crop}"
        require("loss.views.size", self.loss.views.size, fits, expected)


def chairs_like() -> FlowConfig:
    """A long run on videos as diverse as FlyingChairs, for a GPU; not run by us.

    Command: ``torchrun --nproc-per-node 8 -m -- scalable_binding flow train VIDEOS
    --preset chairs-like --run RUN``. Two steps out and back, views of 256 pixels, 64 clips.
    """
    return FlowConfig(
        network=NetworkConfig(widths=(64, 96, 128, 192), width=128, head=128),
        clips=FlowClipConfig(num_frames=3, crop=320, synthetic=0.5),
        loss=FlowLossConfig(views=FlowViewConfig(size=256, shift=64.0)),
        fit=FitConfig(
            steps=200_000,
            batch_size=64,
            optimizer=OptimizerConfig(name="adamw", lr=4e-4, weight_decay=1e-4),
            schedule=ScheduleConfig(warm_up=1000, curve="cosine"),
            ema=EmaConfig(decay=0.999),
            max_grad_norm=1.0,
            bfloat16=True,
            channels_last=True,
            num_workers=8,
            save_every=2000,
        ),
    )


def small() -> FlowConfig:
    """A run of an hour on one CPU core, on videos of some 256 pixels: the recipe of what ships.

    Most batches see views of single frames alone, whose displacements are known: they cost a fifth.
    """
    return FlowConfig(
        clips=FlowClipConfig(size=None, crop=208, synthetic=0.25, memory=4.0),
        loss=FlowLossConfig(
            views=FlowViewConfig(size=192, shift=64.0, min_shift=1.0, layers=3, scale=0.16),
            distance_weight=0.2,
            clip_rate=0.05,
        ),
        fit=FitConfig(
            steps=5_300,
            batch_size=2,
            optimizer=OptimizerConfig(name="adamw", lr=6e-4, weight_decay=1e-4),
            schedule=ScheduleConfig(warm_up=100, curve="cosine"),
            ema=EmaConfig(decay=0.998),
            max_grad_norm=1.0,
            bfloat16=True,
            channels_last=True,
            save_every=100,
        ),
    )


def debug() -> FlowConfig:
    """Under a minute on one core: a narrow network on small synthetic clips."""
    return FlowConfig(
        network=NetworkConfig(widths=(8, 16, 24, 32), width=32, head=24),
        clips=FlowClipConfig(num_frames=3, size=96, crop=96, synthetic=1.0),
        loss=FlowLossConfig(views=FlowViewConfig(size=64, shift=16.0, layers=1), starts=64),
        fit=FitConfig(
            steps=60,
            batch_size=4,
            optimizer=OptimizerConfig(name="adamw", lr=3e-3),
            schedule=ScheduleConfig(warm_up=5, curve="cosine"),
            ema=EmaConfig(decay=0.9),
            max_grad_norm=1.0,
            channels_last=True,
            save_every=30,
        ),
        picture_every=30,
    )


ResultKind = Literal["flo", "kitti", "npz", "pictures", "hidden"]
"""What can be written of a pair's flow; see :func:`scalable_binding.flow.video.write_flow`."""

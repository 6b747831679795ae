"""Settings of the contrastive random walk, and presets. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.reader_config import ReaderConfig
from scalable_binding.crw.walk_config import STRIDE, PatchConfig, ViewConfig, WalkConfig
from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig, ScheduleConfig
from scalable_binding.errors import UserError, require

MAX_ZOOM = 4.0


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The network (Table 3.4).

    Args:
        widths: channels of each stage; leaving the last out makes the head read res3.
        width: dimension of the embedding; None walks on what labels are carried by, without a head.
        readout: stages that labels are carried by, side by side; 0 is the image's own colors.
        windows: odd sides, in cells, of the neighborhoods over which each of them is averaged; 1
            is a cell by itself. Several are side by side.
        padding: of the convolutions, "zeros" or, as in the authors' code, "reflect".
        batch_statistics: normalize by those of each batch in training; without, batch norms only
            scale and shift, and what is seen in training is what is seen of whole frames.
        components: whiten each stage at each window before vectors are compared, and keep so many
            principal axes at most; None compares them as they are. Their statistics come from the
            videos after training; before it, like those of batch norms, where the walk itself
            compares them (no head), which needs ``batch_statistics`` off.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    width: int | None = 128
    readout: tuple[int, ...] = (3,)
    windows: tuple[int, ...] = (1,)
    padding: Literal["zeros", "reflect"] = "reflect"
    batch_statistics: bool = True
    components: int | None = None

    def __post_init__(self) -> None:
        if not 3 <= len(self.widths) <= 4 or min(self.widths) < 1:
            raise UserError("encoder.widths", expected="3 or 4 stages", got=str(self.widths))
        if self.width is not None and self.width < 1:
            raise UserError("encoder.width", expected="at least 1, or none", got=str(self.width))
        stages = range(len(self.widths) + 1)
        if not set(self.readout) <= set(stages) or not any(self.readout):
            expected = f"stages from 0 to {stages[-1]}, not 0 alone"
            raise UserError("encoder.readout", expected=expected, got=str(self.readout))
        if not self.windows or any(window < 1 or window % 2 == 0 for window in self.windows):
            raise UserError("encoder.windows", expected="odd numbers", got=str(self.windows))
        if self.components is not None and self.components < 1:
            got = str(self.components)
            raise UserError("encoder.components", expected="at least 1, or none", got=got)
        if self.components is not None and self.width is None and self.batch_statistics:
            expected = "none, or a head, or encoder.batch_statistics=false"
            raise UserError("encoder.components", expected=expected, got=str(self.components))


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """What is cut out of the videos.

    Args:
        num_frames: frames in a clip (T); walks go T - 1 steps out and back.
        fps: frames a second; None takes every frame, infinity one frame over and over, and two
            numbers are the lowest and the highest rate, one between them drawn for each clip.
        size: pixels to which the short side is resized; None keeps each video's own scale.
        crop: side of a random square cut out, so that clips of all shapes stack; None keeps whole
            frames, which must then be of one size or made ``square``.
        square: squeeze whole frames to ``size`` x ``size`` pixels.
        synthetic: share of clips that come from the synthetic world, for whose objects and
            motion no data is needed.
        mirror: flip half of the videos' clips left to right.
        reverse: play half of the videos' clips backward.
        store: folder for decoded frames, which the dense walk reads; may be shared between runs.
            None: ``frames`` in the run's folder.
    """

    num_frames: int = 10
    fps: float | tuple[float, float] | None = 8.0
    size: int | None = 256
    crop: int | None = 256
    square: bool = False
    synthetic: float = 0.0
    mirror: bool = False
    reverse: bool = False
    store: str | None = None

    def __post_init__(self) -> None:
        if self.num_frames < 2:
            raise UserError("clips.num_frames", expected="at least 2", got=str(self.num_frames))
        for rate in self.fps if isinstance(self.fps, tuple) else (self.fps,):
            require("clips.fps", self.fps, rate is None or rate > 0, "rates above 0, or none")
        if isinstance(self.fps, tuple):
            slowest, fastest = self.fps
            require("clips.fps", self.fps, slowest <= fastest, "the lower rate first")
        fits = not self.square or (self.size is not None and self.crop is None)
        require("clips.square", self.square, fits, "a clips.size and no clips.crop beside it")
        if not 0 <= self.synthetic <= 1:
            raise UserError(
                "clips.synthetic", expected="a share in [0, 1]", got=str(self.synthetic)
            )


@dataclass(frozen=True, kw_only=True)
class PropagationConfig:
    """Where labels come from; the thesis' values for objects (3.7.5).

    Args:
        context: recent frames that give labels, besides the labeled ones (m).
        neighbors: most similar cells, over the whole context, that are averaged (k).
        radius: how far a label may move from a recent frame, in cells of 8 pixels (r).
        temperature: of the softmax over the neighbors.
        fill: count the labeled frame (the latest of them) as the missing ones while there are
            fewer than ``context`` recent frames, as the authors' code does.
        axes: features with more numbers than this are compared along so many principal axes of the
            first frame's, which is faster. The thesis' 256 are left as they are.
        zoom: frames are read enlarged by this factor, so that a cell is 8 / zoom pixels wide: for
            points on parts that are thinner than 8. Time grows with its square at least, reach
            shrinks (``radius`` is in cells).
        edges: masks follow the edges of the frame (a guided filter) instead of those of cells; what
            is carried on to the next frame stays on cells.
    """

    context: int = 20
    neighbors: int = 10
    radius: float = 12.0
    temperature: float = 0.07
    fill: bool = True
    axes: int = 256
    zoom: float = 1.0
    edges: bool = True

    def __post_init__(self) -> None:
        for name in ("context", "neighbors", "axes"):
            value = getattr(self, name)
            if value < 1:
                raise UserError(name, expected="a whole number of at least 1", got=str(value))
        for name in ("radius", "temperature"):
            value = getattr(self, name)
            if not value > 0:
                raise UserError(name, expected="a number above 0", got=str(value))
        if not 1 <= self.zoom <= MAX_ZOOM:
            raise UserError("zoom", expected=f"1 to {MAX_ZOOM:g}", got=str(self.zoom))


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """Training on the video itself while labels go through it (3.3.3 and 3.7.9).

    Args:
        steps: updates each time.
        window: frames before and after the current one to draw clips from (the thesis' m).
        interval: frames from one time to the next.
        lr: of Adam.
        num_frames: frames in a clip.
        crop: side of a random square cut out of a clip, at the video's own scale; None trains on
            whole frames.
        batch_size: clips an update.
        walk: nodes and walks of the loss.
        dense: the dense walk in place of ``walk``, at the scale at which the encoder is read; each
            clip is a graph of its own, since all show the same things. ``crop`` is not used then.
        seed: of the clips and the dropped edges.
    """

    steps: int = 100
    window: int = 10
    interval: int = 5
    lr: float = 1e-4
    num_frames: int = 4
    crop: int | None = None
    batch_size: int = 4
    walk: WalkConfig = field(default_factory=WalkConfig)
    dense: DenseWalkConfig | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "window", "interval", "batch_size"):
            value = getattr(self, name)
            if value < 1:
                expected = "a whole number of at least 1"
                raise UserError(f"adaptation.{name}", expected=expected, got=str(value))
        if self.num_frames < 2:
            got = str(self.num_frames)
            raise UserError("adaptation.num_frames", expected="at least 2", got=got)


@dataclass(frozen=True, kw_only=True)
class CRWConfig:
    """Everything that defines a training run."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    clips: ClipConfig = field(default_factory=ClipConfig)
    walk: WalkConfig = field(default_factory=WalkConfig)
    dense: DenseWalkConfig | None = None
    """The dense walk in place of ``walk``."""
    reader: ReaderConfig | None = None
    """How the trained encoder is read: fitted on frames of the videos after training. None: as
    ``encoder.readout``, ``windows`` and ``components`` say."""
    fit: FitConfig = field(default_factory=FitConfig)
    picture_every: int = 1000
    """Steps between pictures of walks on a clip, in the run's folder ``walks``; 0 draws none."""

    def __post_init__(self) -> None:
        if self.picture_every < 0:
            got = str(self.picture_every)
            raise UserError("picture_every", expected="a whole number of at least 0", got=got)
        if self.dense is not None:
            self._check_dense(self.dense)

    def _check_dense(self, dense: DenseWalkConfig) -> None:
        """Refuse what the dense walk cannot do, or would ignore."""
        clips, encoder = self.clips, self.encoder
        rate = isinstance(clips.fps, float | int) and clips.fps != float("inf")
        require("clips.fps", clips.fps, rate, "one rate, for the dense walk")
        require("clips.size", clips.size, clips.size is not None, "pixels, for the dense walk")
        require("clips.crop", clips.crop, clips.crop is None, "none: the dense walk cuts views")
        real = clips.synthetic == 0
        require("clips.synthetic", clips.synthetic, real, "0: the dense walk reads videos")
        require("encoder.width", encoder.width, encoder.width is not None, "a head's width")
        node = STRIDE * dense.pool
        require("dense.view", dense.view, dense.view % node == 0, f"a multiple of {node} pixels")
        require("picture_every", self.picture_every, self.picture_every == 0, "0: no pictures")


def kinetics() -> CRWConfig:
    """The thesis' run (3.2.3, 3.7.5): ResNet-18, ten frames, Adam for two million updates.

    Command: ``torchrun --nproc-per-node 8 -m -- scalable_binding crw train KINETICS --preset
    kinetics --run RUN``. The thesis reports J&F_m 67.6 on DAVIS 2017; not run by us.
    """
    return CRWConfig(
        clips=ClipConfig(crop=None, square=True),
        fit=FitConfig(
            steps=2_000_000,
            batch_size=20,
            optimizer=OptimizerConfig(lr=1e-4),
            ema=EmaConfig(decay=0.0),
            bfloat16=True,
            channels_last=True,
            num_workers=8,
            save_every=5000,
        ),
    )


def kinetics_code() -> CRWConfig:
    """The run of the authors' public command: four frames and a temperature of 0.05.

    Otherwise as ``kinetics``; ``docs/errata.md`` lists where thesis and code differ.
    """
    thesis = kinetics()
    return replace(
        thesis,
        clips=replace(thesis.clips, num_frames=4),
        walk=replace(thesis.walk, temperature=0.05),
    )


def dense() -> CRWConfig:
    """The dense walk on three stages: what ships (``weights/crw/card.json``).

    Nodes are regions of the maps of moved views, all clips of a batch are one graph, and walkers
    come home into another view of the first frame. Some three hours and a half on one CPU core.
    """
    return CRWConfig(
        encoder=EncoderConfig(widths=(64, 128, 256), width=128, readout=(3,)),
        clips=ClipConfig(num_frames=3, fps=8.0, size=240, crop=None, mirror=True, reverse=True),
        dense=DenseWalkConfig(),
        reader=ReaderConfig(stages=(0, 1, 2, 3), components=64, contrast=1.0),
        fit=FitConfig(
            steps=4700,
            batch_size=16,
            optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=1e-2),
            schedule=ScheduleConfig(warm_up=300, curve="cosine"),
            ema=EmaConfig(decay=0.998),
            bfloat16=True,
            channels_last=True,
            save_every=100,
        ),
        picture_every=0,
    )


def patches() -> CRWConfig:
    """The thesis' walk made narrow: 7 x 7 patches of 32 pixels, three stages, four frames.

    A step costs three times that of ``dense`` per clip. 16,000 clips of it did not raise J&F in a
    pilot (``benchmarks/crw/encoder.md``).
    """
    return CRWConfig(
        encoder=EncoderConfig(widths=(32, 64, 128), width=128, readout=(3,)),
        clips=ClipConfig(
            num_frames=4, fps=8.0, size=128, crop=None, square=True, mirror=True, reverse=True
        ),
        walk=WalkConfig(
            patches=PatchConfig(frame_size=128, size=32, stride=16),
            temperature=0.05,
            edge_dropout=0.1,
        ),
        fit=FitConfig(
            steps=4000,
            batch_size=16,
            optimizer=OptimizerConfig(name="adamw", lr=3e-4),
            schedule=ScheduleConfig(warm_up=300, curve="cosine"),
            ema=EmaConfig(decay=0.998),
            bfloat16=True,
            channels_last=True,
            save_every=200,
        ),
    )


def small() -> CRWConfig:
    """The dense walk on a network half as wide, for some 25 minutes on one CPU core.

    300 steps of a run like it, at a constant rate, lifted the stand-in for J&F from .703 to .767
    (``benchmarks/crw/encoder.md``).
    """
    wide = dense()
    return replace(
        wide,
        encoder=replace(wide.encoder, widths=(32, 64, 128)),
        fit=replace(wide.fit, steps=1000),
    )


def calibrated() -> CRWConfig:
    """No step of training: random convolutions whose batch norms know the videos.

    Each channel is normalized by its statistics over some frames, which takes a minute. What
    trained encoders have to beat (``benchmarks/crw/encoder.md``).
    """
    return CRWConfig(
        encoder=EncoderConfig(
            widths=(64, 128, 256),
            width=None,
            readout=(0, 1, 2, 3),
            windows=(1, 9),
            padding="zeros",
            batch_statistics=False,
            components=48,
        ),
        clips=ClipConfig(num_frames=2, fps=(3.0, 24.0), size=480, crop=384),
        walk=WalkConfig(nodes="cells", temperature=0.05),
        fit=FitConfig(steps=0, channels_last=True),
        picture_every=0,
    )


def debug() -> CRWConfig:
    """Under 30 seconds on one core: a narrow network on small synthetic clips."""
    return CRWConfig(
        encoder=EncoderConfig(widths=(16, 32, 64), width=32, padding="zeros"),
        clips=ClipConfig(num_frames=3, fps=8.0, size=128, crop=112, synthetic=1.0),
        walk=WalkConfig(
            nodes="cells",
            views=ViewConfig(size=64, shift=12.0, scale=0.1, color=0.0),
            direct_weight=2.0,
        ),
        fit=FitConfig(
            steps=100,
            batch_size=4,
            optimizer=OptimizerConfig(name="adamw", lr=5e-3),
            schedule=ScheduleConfig(warm_up=10, curve="cosine"),
            ema=EmaConfig(decay=0.9),
            channels_last=True,
            save_every=50,
        ),
        picture_every=50,
    )

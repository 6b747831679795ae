"""Configuration of recurrent interface networks. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.errors import UserError, require, require_least, require_one_of

DataKind = Literal["images", "videos", "digits", "shapes", "moving_digits"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Architecture of the network (Table 2.4).

    Args:
        size: of what is generated: length, or height and width, or frames, height and width.
        channels: of what is generated.
        patch: sides of a patch, one for each of ``size``.
        num_classes: what a sample can be conditioned on; 0 for none.
        num_latents: with the one of the time and the one of the class, if there are classes.
        latent_width, interface_width: of a latent and of a token of the interface.
        num_blocks: read-compute-write blocks.
        num_layers: of computation on the latents in each block (K).
        num_heads: of attention among latents.
        cross_heads: of reading and writing.
        latent_expansion, interface_expansion: hidden channels of feed-forward networks by channel.
        dropout: of hidden channels in the layers on latents.
        drop_path: rate at which an example skips a branch of the layers on latents.
        context: frames at the beginning of a video that are given, and not generated.
        normalize_input: divide what the network sees by its standard deviation, each example by
            its own; meant for input scales below 1.
        interface_conditioning: take up the interface of the previous step too, like the latents.
        checkpointing: compute each block again on the way back instead of keeping what is in it.
        embedding_std: deviation of latents and positions at the start. At the thesis' 0.02 all
            latents read alike from everywhere, and it takes long until one reads from a place;
            at 1 they begin apart, which short runs need.
        gamma_includes_end: space the frequencies of the noise-level embedding by half - 1, as runs
            before this setting did, and not by half as the authors do.
        smooth_positions: begin with positions that are waves along each axis instead of drawn, so
            that a short run need not learn which places are neighbors.
    """

    size: tuple[int, ...] = (64, 64)
    channels: int = 3
    patch: tuple[int, ...] = (4, 4)
    num_classes: int = 0
    num_latents: int = 128
    latent_width: int = 1024
    interface_width: int = 256
    num_blocks: int = 4
    num_layers: int = 4
    num_heads: int = 16
    cross_heads: int = 16
    latent_expansion: int = 4
    interface_expansion: int = 4
    dropout: float = 0.0
    drop_path: float = 0.0
    context: int = 0
    normalize_input: bool = False
    interface_conditioning: bool = False
    checkpointing: bool = False
    embedding_std: float = 0.02
    smooth_positions: bool = False
    gamma_includes_end: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "patch", tuple(self.patch))
        for name in ("channels", "latent_width", "interface_width", "num_blocks", "num_heads"):
            require_least(f"model.{name}", getattr(self, name), 1)
        for name in ("cross_heads", "latent_expansion", "interface_expansion"):
            require_least(f"model.{name}", getattr(self, name), 1)
        for name in ("num_classes", "num_layers", "context"):
            require_least(f"model.{name}", getattr(self, name), 0)
        for name in ("dropout", "drop_path"):
            _check_rate(f"model.{name}", getattr(self, name))
        if not self.embedding_std > 0:
            got = str(self.embedding_std)
            raise UserError("model.embedding_std", expected="a number above 0", got=got)
        require_least("model.num_latents", self.num_latents, 1 + self.num_conditions)
        self._check_widths()
        self._check_size()

    @property
    def num_conditions(self) -> int:
        """How many of the latents tell the time and the class."""
        return 2 if self.num_classes else 1

    def _check_widths(self) -> None:
        narrow = min(self.latent_width, self.interface_width)
        _check_multiple("model.latent_width", self.latent_width, self.num_heads, "num_heads")
        _check_multiple("the narrower width", narrow, self.cross_heads, "cross_heads")
        _check_multiple("model.latent_width", self.latent_width, 8, "the embedding of the time")

    def _check_size(self) -> None:
        size = " x ".join(map(str, self.size))
        patch = " x ".join(map(str, self.patch))
        if not 1 <= len(self.size) <= 3 or min(self.size) < 1:
            raise UserError("model.size", expected="one to three sides of at least 1", got=size)
        if len(self.patch) != len(self.size) or min(self.patch) < 1:
            expected = f"as many sides as model.size {size} has, each at least 1"
            raise UserError("model.patch", expected=expected, got=patch)
        if any(side % cut for side, cut in zip(self.size, self.patch, strict=True)):
            raise UserError("model.size", expected=f"multiples of the patch {patch}", got=size)
        if self.context and (len(self.size) != 3 or self.context >= self.size[0]):
            expected = "fewer frames than a video of model.size has, and 0 for anything else"
            raise UserError("model.context", expected=expected, got=f"{self.context} of {size}")


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """Diffusion training objective (Alg. 1).

    Args:
        schedule: of the noise in training.
        temperature, start, end: of the sigmoid schedule (tau; the piece of the sigmoid that is
            used); None for the usual ones, and for the other schedules.
        target: what the network predicts.
        scale: signals are pictures scaled to +-scale (the input scale b).
        clip: signals cannot leave +-scale, so that what is seen in the noise is clipped to it;
            False for signals without limits, such as an autoencoder's codes.
        self_conditioning: share of examples that get latents from a first pass; 0 turns latent
            self-conditioning off, in sampling too.
        label_dropout: share of examples whose class is hidden, which guidance needs.
        min_snr: limit of the signal-to-noise ratio in the weight of an example; None weighs all
            alike.
    """

    schedule: Literal["cosine", "sigmoid", "linear"] = "sigmoid"
    temperature: float | None = None
    start: float | None = None
    end: float | None = None
    target: Literal["eps", "x", "v"] = "eps"
    scale: float = 1.0
    clip: bool = True
    self_conditioning: float = 0.9
    label_dropout: float = 0.0
    min_snr: float | None = None

    def __post_init__(self) -> None:
        require_one_of("diffusion.schedule", self.schedule, ("cosine", "sigmoid", "linear"))
        require_one_of("diffusion.target", self.target, ("eps", "x", "v"))
        for name in ("scale", "temperature", "min_snr"):
            value = getattr(self, name)
            holds = value is None or value > 0
            require(f"diffusion.{name}", value, holds, "a number above 0")
        for name in ("temperature", "start", "end"):
            if getattr(self, name) is not None and self.schedule != "sigmoid":
                raise UserError(
                    f"diffusion.{name} {getattr(self, name)} is of the sigmoid schedule",
                    got=f"the {self.schedule} schedule",
                    fix="leave one of them out",
                )
        start, end = (-3.0 if self.start is None else self.start), self.end
        require("diffusion.end", end, (3.0 if end is None else end) > start, f"above {start}")
        for name in ("self_conditioning", "label_dropout"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                expected = "a share in [0, 1]"
                raise UserError(f"diffusion.{name}", expected=expected, got=str(value))

    @property
    def bound(self) -> float | None:
        """What signals are clipped to, +-; None if they are not."""
        return self.scale if self.clip else None


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Training data; sizes come from the model.

    Args:
        kind: "images" or "videos" read files under the folders that a run is given; "digits",
            "shapes" and "moving_digits" need none.
        flip: mirror images and videos at random.
        fps: frames a second of videos; None takes every frame.
        held_out: a folder, archive or video of files that are not trained on, for the figures of
            ``validate_every``.
    """

    kind: DataKind = "images"
    flip: bool = True
    fps: float | None = None
    held_out: str | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not self.fps > 0:
            raise UserError("data.fps", expected="a number above 0", got=str(self.fps))
        if self.held_out is not None and not self.reads_files:
            expected = f"no file, since data.kind is {self.kind}"
            raise UserError("data.held_out", expected=expected, got=self.held_out)

    @property
    def reads_files(self) -> bool:
        """Whether a run has to be told where its data are."""
        return self.kind in ("images", "videos")


@dataclass(frozen=True, kw_only=True)
class RINConfig:
    """All settings of a training run.

    Args:
        sample_every: steps between grids of samples, in the run's folder ``samples``; 0 draws
            none.
        sample_steps: of the sampler that draws them.
        validate_every: steps between figures on held-out data, where there are some; 0 never.
        keep_every: steps between checkpoints that stay, in the run's folder ``kept``; 0 keeps none.
        score_every: steps between Frechet distances of samples to held-out data; the folder
            ``best`` holds the weights with the least one. 0 never.
        score_num: samples of which the distance is.
        score_features: feature network of the distance; None takes one that ships, where one fits.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    data: DataConfig = field(default_factory=DataConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    sample_every: int = 10_000
    sample_steps: int = 100
    validate_every: int = 0
    keep_every: int = 0
    score_every: int = 0
    score_num: int = 500
    score_features: str | None = None

    def __post_init__(self) -> None:
        require_least("sample_every", self.sample_every, 0)
        require_least("sample_steps", self.sample_steps, 1)
        for name in ("validate_every", "keep_every", "score_every"):
            require_least(name, getattr(self, name), 0)
        require_least("score_num", self.score_num, 4)
        if self.score_every and self.model.context:
            expected = "0 for a network that predicts, whose futures are compared one by one"
            raise UserError("score_every", expected=expected, got=str(self.score_every))
        dropped = self.diffusion.label_dropout
        if dropped > 0 and not self.model.num_classes:
            raise UserError(
                f"diffusion.label_dropout {dropped} needs classes", fix="set model.num_classes"
            )


def _check_rate(name: str, value: float) -> None:
    require(name, value, 0 <= value < 1, "a rate in [0, 1)")


def _check_multiple(name: str, value: int, divisor: int, of: str) -> None:
    require(name, value, value % divisor == 0, f"a multiple of {divisor} ({of})")

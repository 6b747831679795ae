"""Settings of recurrent interface networks, and presets. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimiserConfig, ScheduleConfig
from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network (Table 2.4).

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
        normalise_input: divide what the network sees by its standard deviation, each example by
            its own; meant for input scales below 1.
        interface_conditioning: take up the interface of the previous step too, like the latents.
        checkpointing: compute each block again on the way back instead of keeping what is in it.
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
    normalise_input: bool = False
    interface_conditioning: bool = False
    checkpointing: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "patch", tuple(self.patch))
        for name in ("channels", "latent_width", "interface_width", "num_blocks", "num_heads"):
            _check_least(f"model.{name}", getattr(self, name), 1)
        for name in ("cross_heads", "latent_expansion", "interface_expansion"):
            _check_least(f"model.{name}", getattr(self, name), 1)
        for name in ("num_classes", "num_layers", "context"):
            _check_least(f"model.{name}", getattr(self, name), 0)
        for name in ("dropout", "drop_path"):
            _check_rate(f"model.{name}", getattr(self, name))
        _check_least("model.num_latents", self.num_latents, 1 + self.num_conditions)
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
    """What is learned (Alg. 1).

    Args:
        schedule: of the noise in training.
        temperature: of the sigmoid schedule; None for its usual one, and for the others.
        target: what the network predicts.
        scale: signals are pictures scaled to +-scale (the input scale b).
        self_conditioning: share of examples that get latents from a first pass; 0 turns latent
            self-conditioning off, in sampling too.
        label_dropout: share of examples whose class is hidden, which guidance needs.
        min_snr: limit of the signal-to-noise ratio in the weight of an example; None weighs all
            alike.
    """

    schedule: Literal["cosine", "sigmoid", "linear"] = "sigmoid"
    temperature: float | None = None
    target: Literal["eps", "x", "v"] = "eps"
    scale: float = 1.0
    self_conditioning: float = 0.9
    label_dropout: float = 0.0
    min_snr: float | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("schedule", ("cosine", "sigmoid", "linear")),
            ("target", ("eps", "x", "v")),
        ):
            value = getattr(self, name)
            if value not in choices:
                expected = f"one of {', '.join(choices)}"
                raise UserError(f"diffusion.{name}", expected=expected, got=repr(value))
        for name in ("scale", "temperature", "min_snr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"diffusion.{name}", expected="a number above 0", got=str(value))
        if self.temperature is not None and self.schedule != "sigmoid":
            raise UserError(
                f"diffusion.temperature {self.temperature} is of the sigmoid schedule",
                got=f"the {self.schedule} schedule",
                fix="leave one of them out",
            )
        for name in ("self_conditioning", "label_dropout"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                expected = "a share in [0, 1]"
                raise UserError(f"diffusion.{name}", expected=expected, got=str(value))


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on; sizes come from the model.

    Args:
        kind: "images" or "videos" read files under the folders that a run is given; "digits",
            "shapes" and "moving_digits" need none.
        flip: mirror images and videos at random.
        fps: frames a second of videos; None takes every frame.
    """

    kind: Literal["images", "videos", "digits", "shapes", "moving_digits"] = "images"
    flip: bool = True
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not self.fps > 0:
            raise UserError("data.fps", expected="a number above 0", got=str(self.fps))

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
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    data: DataConfig = field(default_factory=DataConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    sample_every: int = 10_000
    sample_steps: int = 100
    validate_every: int = 0

    def __post_init__(self) -> None:
        _check_least("sample_every", self.sample_every, 0)
        _check_least("sample_steps", self.sample_steps, 1)
        _check_least("validate_every", self.validate_every, 0)
        dropped = self.diffusion.label_dropout
        if dropped > 0 and not self.model.num_classes:
            raise UserError(
                f"diffusion.label_dropout {dropped} needs classes", fix="set model.num_classes"
            )


def imagenet64() -> RINConfig:
    """ImageNet at 64 x 64: row 1 of Tables 2.4 and 2.5.

    Command: ``torchrun --nproc-per-node 8 -m scalable_binding rin train IMAGENET --preset
    imagenet64 --run RUN``, on as many nodes as there are. The thesis took 32 TPUv3 chips and
    reports FID 1.23; not run by us. Learning rate and noise schedule are those of the authors'
    configuration of an ablation, which the thesis does not print.
    """
    return _imagenet(
        ModelConfig(size=(64, 64), num_classes=1000),
        DiffusionConfig(schedule="linear"),
        steps=300_000,
        lr=2e-3,
        weight_decay=0.01,
    )


def imagenet128() -> RINConfig:
    """ImageNet at 128 x 128: row 2 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``. The thesis took 32 TPUv3 chips and reports FID 2.75; not run by
    us. The learning rate is ours.
    """
    model = ModelConfig(size=(128, 128), num_classes=1000, interface_width=512, num_blocks=6)
    return _imagenet(model, DiffusionConfig(), steps=600_000)


def imagenet256() -> RINConfig:
    """ImageNet at 256 x 256: row 3 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``. The thesis took 32 TPUv3 chips and reports FID 4.51; not run by
    us. The learning rate is ours.
    """
    model = ModelConfig(
        size=(256, 256),
        patch=(8, 8),
        num_classes=1000,
        num_latents=256,
        interface_width=512,
        num_blocks=6,
    )
    return _imagenet(model, DiffusionConfig(), steps=600_000)


def imagenet512() -> RINConfig:
    """ImageNet at 512 x 512: row 4 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``. The thesis took 64 TPUv3 chips and scales the input by a factor
    that it does not print; 0.2 and the learning rate are ours. FID of the thesis 3.95; not run by
    us.
    """
    return _imagenet(_large(512, num_layers=6), _scaled(0.2), steps=1_000_000, weight_decay=0.01)


def imagenet1024() -> RINConfig:
    """ImageNet at 1024 x 1024, 16,384 tokens and 256 latents: row 5 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``. The thesis took 256 TPUv4 chips and scales the input by a factor
    that it does not print; 0.1 and the learning rate are ours. FID of the thesis 8.72; not run by
    us. Its learning rate does not decay.
    """
    config = _imagenet(_large(1024, num_layers=8), _scaled(0.1), steps=1_000_000, weight_decay=0.01)
    constant = ScheduleConfig(warm_up=WARM_UP)
    return replace(config, fit=replace(config.fit, batch_size=512, schedule=constant))


def kinetics() -> RINConfig:
    """Predicting 11 frames of Kinetics from 5, 64 x 64: row 6 of Tables 2.4 and 2.5.

    Command: ``torchrun --nproc-per-node 8 -m scalable_binding rin train KINETICS --preset kinetics
    --run RUN``. The thesis took 32 TPUv3 chips and reports FVD 10.8; not run by us. The learning
    rate is ours.
    """
    model = ModelConfig(
        size=(16, 64, 64),
        patch=(2, 4, 4),
        num_latents=256,
        interface_width=512,
        num_blocks=6,
        context=5,
    )
    config = _imagenet(model, DiffusionConfig(self_conditioning=0.85), steps=500_000, kind="videos")
    return replace(config, fit=replace(config.fit, ema=EmaConfig(decay=0.99)))


def cifar10() -> RINConfig:
    """CIFAR-10 without classes dropped: the authors' configuration, 31 M parameters.

    Command: ``sbind rin train CIFAR --preset cifar10 --run RUN``, CIFAR being a folder or zip with
    a folder of images for each class. The thesis reports FID 1.81 (1000 DDPM steps with the cosine
    schedule); not run by us to the end.
    """
    return RINConfig(
        model=ModelConfig(
            size=(32, 32),
            patch=(2, 2),
            num_classes=10,
            latent_width=512,
            num_blocks=3,
            num_layers=2,
            cross_heads=8,
            interface_expansion=2,
            dropout=0.1,
            drop_path=0.1,
        ),
        diffusion=DiffusionConfig(temperature=0.9),
        fit=_large_run(
            150_000, 256, OptimiserConfig(name="lamb", lr=3e-3, weight_decay=0.01), "cosine@0.8"
        ),
    )


def digits() -> RINConfig:
    """Handwritten digits of 8 x 8 pixels, by class: nine minutes on one CPU core.

    Command: ``sbind rin train --preset digits --run RUN``. Measured on a shared core of an AMD
    EPYC, seed 0, in 533 seconds of its time: held-out loss 0.142, Frechet distance of 1000 samples
    (DDPM, 100 steps) 7.8 where training data have 5.1, class accuracy 0.976; the features are
    those of the package's own network.
    """
    return RINConfig(
        model=ModelConfig(
            size=(8, 8),
            channels=1,
            patch=(2, 2),
            num_classes=10,
            num_latents=10,
            latent_width=96,
            interface_width=48,
            num_blocks=2,
            num_layers=2,
            num_heads=4,
            cross_heads=4,
        ),
        diffusion=DiffusionConfig(label_dropout=0.1),
        data=DataConfig(kind="digits"),
        fit=_small_run(steps=6000, batch_size=64, lr=3e-3),
        sample_every=2000,
        sample_steps=100,
        validate_every=1000,
    )


def shapes64() -> RINConfig:
    """Few objects on a textured ground, 64 x 64 and drawn as they are needed: an hour on a CPU.

    Command: ``sbind rin train --preset shapes64 --run RUN``; with ``--data.kind images`` and a
    folder, the same network on one's own images. Not run by us to the end.
    """
    return RINConfig(
        model=ModelConfig(
            size=(64, 64),
            num_classes=3,
            num_latents=32,
            latent_width=256,
            interface_width=96,
            num_blocks=3,
            num_layers=2,
            num_heads=8,
            cross_heads=8,
        ),
        diffusion=DiffusionConfig(label_dropout=0.1),
        data=DataConfig(kind="shapes"),
        fit=_small_run(steps=10_000, batch_size=32, lr=1e-3),
        sample_every=1000,
        sample_steps=100,
        validate_every=1000,
    )


def moving_digits() -> RINConfig:
    """Predicting 8 frames of bouncing digits from 4, 32 x 32: under an hour on a CPU core.

    Command: ``sbind rin train --preset moving-digits --run RUN``. Not run by us to the end yet.
    """
    return RINConfig(
        model=ModelConfig(
            size=(12, 32, 32),
            channels=1,
            patch=(2, 4, 4),
            num_latents=24,
            latent_width=128,
            interface_width=64,
            num_blocks=3,
            num_layers=1,
            num_heads=4,
            cross_heads=4,
            context=4,
        ),
        diffusion=DiffusionConfig(),
        data=DataConfig(kind="moving_digits", flip=False),
        fit=_small_run(steps=3000, batch_size=16, lr=2e-3),
        sample_every=1000,
        sample_steps=50,
        validate_every=1000,
    )


def debug() -> RINConfig:
    """Seconds on one core: a narrow network on digits, to see that everything runs."""
    config = digits()
    model = replace(
        config.model, num_latents=6, latent_width=32, interface_width=16, num_blocks=1, num_layers=1
    )
    fit = _small_run(steps=60, batch_size=32, lr=5e-3)
    fit = replace(fit, save_every=30, schedule=replace(fit.schedule, warm_up=10))
    return replace(
        config, model=model, fit=fit, sample_every=30, sample_steps=10, validate_every=30
    )


WARM_UP = 10_000
"""Steps in which the learning rate rises, in the authors' configurations."""


def _imagenet(
    model: ModelConfig,
    diffusion: DiffusionConfig,
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 0.001,
    kind: Literal["images", "videos"] = "images",
) -> RINConfig:
    optimiser = OptimiserConfig(name="lamb", lr=lr, weight_decay=weight_decay)
    return RINConfig(
        model=model,
        diffusion=diffusion,
        data=DataConfig(kind=kind),
        fit=_large_run(steps, 1024, optimiser, "cosine"),
    )


def _large(side: int, *, num_layers: int) -> ModelConfig:
    return ModelConfig(
        size=(side, side),
        patch=(8, 8),
        num_classes=1000,
        num_latents=256,
        latent_width=768,
        interface_width=512,
        num_blocks=6,
        num_layers=num_layers,
        normalise_input=True,
    )


def _scaled(scale: float) -> DiffusionConfig:
    return DiffusionConfig(scale=scale)


def _large_run(steps: int, batch_size: int, optimiser: OptimiserConfig, curve: str) -> FitConfig:
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        optimiser=optimiser,
        schedule=ScheduleConfig(warm_up=WARM_UP, curve=curve),
        ema=EmaConfig(decay=0.9999),
        bfloat16=True,
        compile=True,
        num_workers=8,
        log_every=100,
        save_every=5000,
    )


def _small_run(steps: int, batch_size: int, lr: float) -> FitConfig:
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        optimiser=OptimiserConfig(name="adamw", lr=lr, weight_decay=0.01),
        schedule=ScheduleConfig(warm_up=100, curve="cosine"),
        ema=EmaConfig(decay=0.998),
        save_every=500,
    )


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UserError(name, expected=f"a whole number of at least {least}", got=str(value))


def _check_rate(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise UserError(name, expected="a rate in [0, 1)", got=str(value))


def _check_multiple(name: str, value: int, divisor: int, of: str) -> None:
    if value % divisor:
        raise UserError(name, expected=f"a multiple of {divisor} ({of})", got=str(value))

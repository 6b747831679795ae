"""Presets of recurrent interface networks. Torch is not imported here."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig, ScheduleConfig
from scalable_binding.rin.config import (
    DataConfig,
    DataKind,
    DiffusionConfig,
    ModelConfig,
    RINConfig,
)


def imagenet64() -> RINConfig:
    """ImageNet at 64 x 64: row 1 of Tables 2.4 and 2.5.

    Command: ``torchrun --nproc-per-node 8 -m -- scalable_binding rin train IMAGENET --preset
    imagenet64 --run RUN``, on as many nodes as there are. The thesis took 32 TPUv3 chips and
    reports FID 1.23; not run by us. It prints no learning rate: 1e-3 is ours (2e-3 is that of its
    ablations). The noise schedule is that of the authors' configuration.
    """
    return _imagenet(
        ModelConfig(size=(64, 64), num_classes=1000),
        DiffusionConfig(schedule="linear"),
        steps=300_000,
        weight_decay=0.01,
    )


def imagenet128() -> RINConfig:
    """ImageNet at 128 x 128: row 2 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``, with as many chips. FID of the thesis 2.75; not run by us.
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
    diffusion = DiffusionConfig(scale=0.2)
    return _imagenet(_large(512, num_layers=6), diffusion, steps=1_000_000, weight_decay=0.01)


def imagenet1024() -> RINConfig:
    """ImageNet at 1024 x 1024, 16,384 tokens and 256 latents: row 5 of Tables 2.4 and 2.5.

    Command: as ``imagenet64``. The thesis took 256 TPUv4 chips and scales the input by a factor
    that it does not print; 0.1 and the learning rate are ours. FID of the thesis 8.72; not run by
    us. Its learning rate does not decay.
    """
    diffusion = DiffusionConfig(scale=0.1)
    config = _imagenet(_large(1024, num_layers=8), diffusion, steps=1_000_000, weight_decay=0.01)
    constant = ScheduleConfig(warm_up=WARM_UP)
    return replace(config, fit=replace(config.fit, batch_size=512, schedule=constant))


def kinetics() -> RINConfig:
    """Predicting 11 frames of Kinetics from 5, 64 x 64: row 6 of Tables 2.4 and 2.5.

    Command: ``torchrun --nproc-per-node 8 -m -- scalable_binding rin train KINETICS --preset
    kinetics --run RUN``. The thesis took 32 TPUv3 chips and reports FVD 10.8; not run by us. The
    learning rate is ours.
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
    return replace(
        config,
        data=replace(config.data, flip=False),
        fit=replace(config.fit, ema=EmaConfig(decay=0.99)),
    )


def cifar10() -> RINConfig:
    """CIFAR-10 without classes dropped: the authors' configuration, 31 M parameters.

    Command: ``sbind rin train CIFAR --preset cifar10 --run RUN``, CIFAR being a folder or zip with
    a folder of images for each class. The thesis reports FID 1.81 (1000 DDPM steps with the cosine
    schedule). Measured: 200 steps of 16 images on a CPU core bring the loss from 3.1 to 0.16; not
    run by us any further.
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
            150_000, 256, OptimizerConfig(name="lamb", lr=3e-3, weight_decay=0.01), "cosine@0.8"
        ),
    )


def cifar10_small() -> RINConfig:
    """CIFAR-10 by class, 4.5 M parameters: what one CPU core learns in a day.

    Command: ``python -m benchmarks.rin.cifar train --data CIFAR --out OUT``, or ``sbind rin train
    CIFAR --preset cifar10_small --run RUN``. Measured: 15 ms an image (373 M multiply-adds) on a
    core with AVX512-BF16, so that 80,000 steps of 64 images take 21 hours. Not run to the end.
    """
    model = ModelConfig(
        size=(32, 32),
        patch=(2, 2),
        num_classes=10,
        num_latents=64,
        latent_width=192,
        interface_width=96,
        num_blocks=3,
        num_layers=2,
        num_heads=6,
        cross_heads=3,
        embedding_std=1.0,
        smooth_positions=True,
    )
    config = _with_muon(model, "images", steps=80_000, batch_size=64)
    return replace(
        config,
        diffusion=replace(config.diffusion, schedule="linear"),
        fit=replace(
            config.fit,
            bfloat16=True,
            ema=EmaConfig(decay=0.9995),
            schedule=replace(config.fit.schedule, warm_up=500),
            save_every=250,
            log_every=50,
        ),
        sample_every=5000,
    )


def digits() -> RINConfig:
    """Handwritten digits of 8 x 8 pixels, by class: four minutes on two CPU cores.

    Command: ``sbind rin train --preset digits --run RUN``. Measured on an AMD EPYC, three seeds:
    381 to 430 seconds of a shared core; held-out loss 0.141 to 0.142, Frechet distance of 1000
    samples (DDPM, 100 steps) 8.6 to 8.9 (training data 5.1), class accuracy 0.966 to 0.974, by the
    package's own features. The weights that ship are of an earlier recipe, of 6000 steps.
    """
    model = ModelConfig(
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
        embedding_std=1.0,
        smooth_positions=True,
    )
    return _small(model, "digits", steps=3400, batch_size=64, optimizer=_optimizer("lamb", 1e-2))


def images32() -> RINConfig:
    """Images of one's own, 32 x 32 and without classes: 45 minutes on two CPU cores.

    Command: ``sbind rin train IMAGES --preset images32 --run RUN --fit.bfloat16 true``; for classes
    ``--model.num_classes 10 --diffusion.label_dropout 0.1``. Measured so on CIFAR-10, one seed: 67
    minutes of one shared core, loss 0.092; from afar samples look like photographs.
    """
    model = ModelConfig(
        size=(32, 32),
        patch=(4, 4),
        num_latents=64,
        latent_width=192,
        interface_width=192,
        num_blocks=3,
        num_layers=1,
        num_heads=8,
        cross_heads=8,
        embedding_std=1.0,
        smooth_positions=True,
    )
    config = _with_muon(model, "images", steps=6000, batch_size=32)
    return replace(config, diffusion=replace(config.diffusion, schedule="linear"))


def videos32() -> RINConfig:
    """Predicting 8 frames of one's own videos from 4, 32 x 32: 50 minutes on two CPU cores.

    Command: ``sbind rin train VIDEOS --preset videos32 --run RUN``, with ``--fit.bfloat16 true``
    where the processor knows it, and ``--data.fps`` where frames follow each other too closely.
    Not run by us to the end: 1,200 steps on five videos come to a loss of 0.035, and to 0.078 on a
    sixth, whose futures are still worse than its last frame repeated.
    """
    images = images32()
    model = replace(images.model, size=(12, 32, 32), patch=(2, 4, 4), context=4)
    config = _with_muon(model, "videos", steps=5000, batch_size=16)
    return replace(config, diffusion=images.diffusion)


def shapes64() -> RINConfig:
    """Few objects on a textured ground, 64 x 64 and drawn as needed, by the number of objects.

    Command: ``sbind rin train --preset shapes64 --run RUN``, with ``--fit.bfloat16 true`` where
    the processor knows it: 1.45 steps a second on two CPU cores. Not run by us to the end: with the
    target eps, 600 steps of 16 images come to a held-out loss of 0.058.
    """
    model = ModelConfig(
        num_classes=3,
        num_latents=32,
        latent_width=256,
        interface_width=96,
        num_blocks=3,
        num_layers=2,
        num_heads=8,
        cross_heads=8,
        embedding_std=1.0,
        smooth_positions=True,
    )
    config = _with_muon(model, "shapes", steps=5000, batch_size=32)
    return replace(config, fit=replace(config.fit, num_workers=1))


def moving_digits() -> RINConfig:
    """Predicting 8 frames of bouncing digits from 4, 32 x 32: an hour and a half on a CPU core.

    Command: ``sbind rin train --preset moving-digits --run RUN``, with ``--fit.bfloat16 true``
    where the processor knows it. Measured so, one seed, 5,950 CPU seconds: error of predicted
    pixels .009, of the last frame repeated .044, of its motion extrapolated .057; Frechet video
    distance 2.7 (17.8, 22.1; other true videos 3.1). Muon takes a third of AdamW's steps; a rate of
    0.02 diverges.
    """
    model = ModelConfig(
        size=(12, 32, 32),
        channels=1,
        patch=(2, 4, 4),
        num_latents=48,
        latent_width=128,
        interface_width=64,
        num_blocks=3,
        num_layers=1,
        num_heads=4,
        cross_heads=4,
        context=4,
        embedding_std=1.0,
        smooth_positions=True,
    )
    config = _with_muon(model, "moving_digits", steps=26_000, batch_size=16)
    schedule = replace(config.fit.schedule, warm_up=500)
    return replace(
        config,
        data=replace(config.data, flip=False),
        fit=replace(config.fit, schedule=schedule),
    )


def debug() -> RINConfig:
    """Seconds on one core: a narrow network on digits, to see that everything runs."""
    config = digits()
    model = replace(
        config.model, num_latents=6, latent_width=32, interface_width=16, num_blocks=1, num_layers=1
    )
    fit = _small_run(steps=60, batch_size=32, optimizer=_optimizer("adamw", 5e-3))
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
    weight_decay: float = 0.001,
    kind: DataKind = "images",
) -> RINConfig:
    optimizer = OptimizerConfig(name="lamb", lr=1e-3, weight_decay=weight_decay)
    return RINConfig(
        model=model,
        diffusion=diffusion,
        data=DataConfig(kind=kind),
        fit=_large_run(steps, 1024, optimizer, "cosine"),
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
        normalize_input=True,
    )


def _large_run(steps: int, batch_size: int, optimizer: OptimizerConfig, curve: str) -> FitConfig:
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        schedule=ScheduleConfig(warm_up=WARM_UP, curve=curve),
        ema=EmaConfig(decay=0.9999),
        bfloat16=True,
        compile=True,
        num_workers=8,
        log_every=100,
        save_every=5000,
    )


def _small(
    model: ModelConfig,
    kind: DataKind,
    *,
    steps: int,
    batch_size: int,
    optimizer: OptimizerConfig,
) -> RINConfig:
    """What has classes learns to do without; of drawn data, some are kept from training."""
    data = DataConfig(kind=kind)
    return RINConfig(
        model=model,
        diffusion=DiffusionConfig(label_dropout=0.1 if model.num_classes else 0.0),
        data=data,
        fit=_small_run(steps, batch_size, optimizer),
        sample_every=1000,
        sample_steps=100,
        validate_every=0 if data.reads_files else 1000,
    )


def _with_muon(model: ModelConfig, kind: DataKind, *, steps: int, batch_size: int) -> RINConfig:
    """In a third of AdamW's steps, each of them cheaper by fewer looks before."""
    optimizer = replace(_optimizer("muon", 5e-3), betas=(0.95, 0.95))
    config = _small(model, kind, steps=steps, batch_size=batch_size, optimizer=optimizer)
    return replace(
        config,
        diffusion=replace(config.diffusion, target="v", self_conditioning=0.25),
        fit=replace(config.fit, max_grad_norm=1.0),
        sample_steps=50,
    )


def _optimizer(name: Literal["adamw", "lamb", "muon"], lr: float) -> OptimizerConfig:
    return OptimizerConfig(name=name, lr=lr, weight_decay=0.01)


def _small_run(steps: int, batch_size: int, optimizer: OptimizerConfig) -> FitConfig:
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        schedule=ScheduleConfig(warm_up=100, curve="cosine"),
        ema=EmaConfig(decay=0.998),
        save_every=500,
    )

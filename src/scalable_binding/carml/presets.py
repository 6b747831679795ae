"""Presets of CARML. Torch is not imported here."""

from __future__ import annotations

from scalable_binding.carml.config import (
    CARMLConfig,
    CurriculumConfig,
    EnvironmentConfig,
    ModelConfig,
    PPOConfig,
    ValidationConfig,
)
from scalable_binding.carml.scaffold_config import MixtureConfig, RewardConfig, ScaffoldConfig
from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimiserConfig


def maze() -> CARMLConfig:
    """The point maze of Fig. 4.4: under a minute on one CPU core.

    Wide components (``regularisation``, in units of the variance of states) keep far states from
    deciding the scale of a task's rewards.
    """
    return CARMLConfig(
        environment=EnvironmentConfig(name="maze"),
        model=ModelConfig(widths=(), hidden=64, head=64),
        scaffold=ScaffoldConfig(mixture=MixtureConfig(regularisation=0.5)),
        reward=RewardConfig(window=1),
        curriculum=CurriculumConfig(period=20, recent=True),
        ppo=PPOConfig(
            epochs=4,
            minibatches=2,
            value_weight=1.0,
            entropy_weight=0.01,
            discount=0.97,
            reward_scale=0.1,
        ),
        validation=ValidationConfig(every=10, num_tasks=64),
        fit=FitConfig(
            steps=120,
            batch_size=64,
            optimiser=OptimiserConfig(lr=4e-3),
            ema=EmaConfig(decay=0.0),
            clip_norm=0.5,
            save_every=20,
        ),
    )

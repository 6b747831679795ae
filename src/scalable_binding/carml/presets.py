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
from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimiserConfig


def maze() -> CARMLConfig:
    """The point maze of Fig. 4.4 on one CPU core, some two minutes."""
    return CARMLConfig(
        environment=EnvironmentConfig(name="maze"),
        model=ModelConfig(widths=(), hidden=64, head=64),
        curriculum=CurriculumConfig(period=90),
        ppo=PPOConfig(
            epochs=4,
            minibatches=2,
            value_weight=1.0,
            entropy_weight=0.01,
            discount=0.97,
            reward_scale=0.1,
        ),
        validation=ValidationConfig(every=30, num_tasks=64),
        fit=FitConfig(
            steps=270,
            batch_size=128,
            optimiser=OptimiserConfig(lr=2e-3),
            ema=EmaConfig(decay=0.0),
            clip_norm=0.5,
            save_every=45,
        ),
    )

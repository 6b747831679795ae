"""Learning rates as functions of the step."""

from __future__ import annotations

import math

from scalable_binding.engine.fit_config import ScheduleConfig


def lr_multiplier(step: int, config: ScheduleConfig, steps: int) -> float:
    """What the base learning rate is multiplied with in the update number ``step``.

    Args:
        step: updates that are already done, from 0.
        config: the warm-up and the curve after it.
        steps: updates in the whole run, the warm-up included.
    """
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    if config.curve == "constant":
        return 1.0
    done = (step - config.warm_up) / max(steps - config.warm_up, 1)
    return (1 + math.cos(math.pi * config.cosine_fraction * min(done, 1.0))) / 2

"""Noise schedules and samplers, one number at a time, as the thesis' Alg. 4 and 5 spell them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def cosine(t: float, ns: float = 0.0002, ds: float = 0.00025) -> float:
    return math.cos(((t + ns) / (1 + ds)) * math.pi / 2) ** 2


def sigmoid(t: float, start: float = -3, end: float = 3, tau: float = 0.9) -> float:
    def logistic(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    v_start, v_end = logistic(start / tau), logistic(end / tau)
    output = (-logistic((t * (end - start) + start) / tau) + v_end) / (v_end - v_start)
    return min(max(output, 1e-9), 1.0)


def linear(t: float) -> float:
    return min(max(1 - t, 1e-9), 1.0)


def sample(
    rule: str,
    predict_eps: Callable[[float, float], float],
    noise: float,
    schedule: Callable[[float], float],
    steps: int,
    draws: Sequence[float] = (),
    *,
    bound: float = math.inf,
    small: bool = False,
) -> list[tuple[float, float]]:
    """x and x0 after each step for one number; ``draws`` are the noises that DDPM adds."""
    x_t, reached = noise, []
    for step in range(steps):
        now, after = schedule(1 - step / steps), schedule(max(1 - (step + 1) / steps, 0))
        eps = predict_eps(x_t, now)
        x0 = min(max((x_t - math.sqrt(1 - now) * eps) / math.sqrt(now), -bound), bound)
        eps = (x_t - math.sqrt(now) * x0) / math.sqrt(1 - now)
        if rule == "ddim":
            x_t = math.sqrt(after) * x0 + math.sqrt(1 - after) * eps
        else:
            alpha = min(max(now / after, 0), 1)
            variance = (1 - alpha) * ((1 - after) / (1 - now) if small else 1)
            x_t = (x_t - (1 - alpha) / math.sqrt(1 - now) * eps) / math.sqrt(alpha)
            if step < steps - 1:
                x_t += math.sqrt(variance) * draws[step]
        reached.append((x_t, x0))
    return reached

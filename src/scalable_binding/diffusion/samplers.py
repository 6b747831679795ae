"""Diffusion samplers for any denoiser: DDPM, DDIM, DPM-Solver++ (2M).

Each is a generator of states; the ``x0`` of the last one is the sample. A denoiser is a function
``denoise(x_t, gamma, carry) -> (prediction, carry)``: ``x_t`` is ``(b *size)``, ``gamma`` ``(b,)``,
and the carry is whatever it wants to remember from step to step (a RIN's latents), None at first.

The arithmetic is float32, or float64 if the noise is; numbers that depend on the time alone are
float64, since ``1 / sqrt(gamma)`` reaches 3e4.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.diffusion import noises, targets
from scalable_binding.diffusion.schedules import Schedule
from scalable_binding.diffusion.targets import Target
from scalable_binding.errors import UserError

Denoise = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]
Variance = Literal["large", "small"]
Steps = int | Sequence[float]


@dataclass(frozen=True, kw_only=True)
class State:
    """State of the reverse process after a step.

    ``x`` is the noisy signal at ``time``, ``x0`` the signal that the denoiser saw in the ``x`` of
    the state before, ``carry`` what it remembers. ``step`` counts from 0.
    """

    step: int
    time: float
    x: Float[Tensor, "b *size"]
    x0: Float[Tensor, "b *size"]
    carry: Any


def ddpm(
    denoise: Denoise,
    noise: Float[Tensor, "b *size"],
    schedule: Schedule,
    steps: Steps,
    generators: Generator | Sequence[Generator],
    *,
    target: Target = "eps",
    bound: float | None = 1.0,
    variance: Variance = "large",
) -> Iterator[State]:
    """DDPM (ancestral) sampling: Algorithm 2 with the DDPM step of Algorithm 5.

    ``x_next = sqrt(gamma_next) (1 - alpha) / (1 - gamma) x0
    + sqrt(alpha) (1 - gamma_next) / (1 - gamma) x_t + sigma z`` with
    ``alpha = gamma / gamma_next``, which is Alg. 5 without its cancellation.

    Args:
        denoise: the model.
        noise: standard normal, where sampling starts.
        schedule: gamma of a time.
        steps: how many, at even times from 1 to 0; or the times themselves, falling.
        generators: of the noise to add: one for all, or one a sample, which makes a sample
            independent of the batch that it is drawn in.
        target: what the denoiser predicts.
        bound: signals are clipped to +-bound, the input scale; None does not clip.
        variance: ``sigma^2``, "large" (1 - alpha, exact where the data are standard normal) or
            "small" (that of the posterior, exact where they are one point).

    Raises:
        UserError: fewer than one step, or times that do not fall.

    Source: Thesis Alg. 2 and 5; Ho et al., Denoising Diffusion Probabilistic Models.
    """
    chain = _Chain(denoise, noise, schedule, target, bound)
    times = _falling(spread(steps))
    for step, (time, after) in enumerate(pairwise(times)):
        x, gamma, gamma_next = chain.x, chain.gamma(time), chain.gamma(after)
        x0, _ = chain.estimate(gamma)
        alpha = (gamma / gamma_next).clamp(0, 1)
        share = (1 - gamma_next) / (1 - gamma)
        chain.x = gamma_next.sqrt() * ((1 - alpha) / (1 - gamma)) * x0 + alpha.sqrt() * share * x
        # Nothing comes after the last step that would take its noise away.
        if step < len(times) - 2:
            squared = (1 - alpha) * (share if variance == "small" else 1)
            chain.x = chain.x + squared.sqrt() * noises.sample_noise_like(x, generators)
        yield State(step=step, time=after, x=chain.x, x0=x0, carry=chain.carry)


def ddim(
    denoise: Denoise,
    noise: Float[Tensor, "b *size"],
    schedule: Schedule,
    steps: Steps,
    *,
    target: Target = "eps",
    bound: float | None = 1.0,
) -> Iterator[State]:
    """DDIM sampling (deterministic, first order): Algorithm 2 with the DDIM step of Algorithm 5.

    ``x_next = sqrt(gamma_next) x0 + sqrt(1 - gamma_next) eps``, eps being what is in ``x_t`` beside
    the clipped x0. With rising times it leads from a signal (as ``noise``) to its noise; the first
    one has to be above 0 where the schedule leaves no noise at 0, which all but the cosine do.

    Args: as :func:`ddpm`; times may rise.

    Raises:
        UserError: fewer than one step, or a step from where there is no noise.

    Source: Thesis Alg. 5; Song et al., Denoising Diffusion Implicit Models.
    """
    chain = _Chain(denoise, noise, schedule, target, bound)
    for step, (time, after) in enumerate(pairwise(spread(steps))):
        x0, eps = chain.estimate(chain.gamma(time))
        chain.x = targets.add_noise(x0, eps, chain.gamma(after))
        yield State(step=step, time=after, x=chain.x, x0=x0, carry=chain.carry)


def dpmpp_2m(
    denoise: Denoise,
    noise: Float[Tensor, "b *size"],
    schedule: Schedule,
    steps: Steps,
    *,
    target: Target = "eps",
    bound: float | None = 1.0,
) -> Iterator[State]:
    """DPM-Solver++ (2M) sampling: deterministic, second order, for few steps.

    With ``lambda = log sqrt(gamma / (1 - gamma))``, ``h = lambda_next - lambda`` and
    ``r = h_before / h``, x0 is extrapolated, ``D = x0 + (x0 - x0_before) / (2 r)``, and
    ``x_next = sqrt((1 - gamma_next) / (1 - gamma)) x_t + sqrt(gamma_next) (1 - e^-h) D``.
    The first step and the last are DDIM's.

    Args and Raises: as :func:`ddpm`.

    Source: Lu et al., DPM-Solver++, Alg. 2.
    """
    chain = _Chain(denoise, noise, schedule, target, bound)
    times = _falling(spread(steps))
    width_before = math.nan
    x0_before = chain.x
    for step, (time, after) in enumerate(pairwise(times)):
        x, gamma, gamma_next = chain.x, chain.gamma(time), chain.gamma(after)
        x0, eps = chain.estimate(gamma)
        width = _log_ratio(gamma_next) - _log_ratio(gamma)
        if step in (0, len(times) - 2):
            chain.x = targets.add_noise(x0, eps, gamma_next)
        else:
            ahead = x0 + (x0 - x0_before) * (width / (2 * width_before))
            kept = ((1 - gamma_next) / (1 - gamma)).sqrt()
            chain.x = kept * x - gamma_next.sqrt() * math.expm1(-width) * ahead
        x0_before, width_before = x0, width
        yield State(step=step, time=after, x=chain.x, x0=x0, carry=chain.carry)


def last(states: Iterable[State]) -> Float[Tensor, "b *size"]:
    """The final sample of a sampler."""
    (state,) = deque(states, maxlen=1)
    return state.x0


def spread(steps: Steps) -> list[float]:
    """Sampling times: ``steps`` even ones from 1 to 0, or those given.

    Raises:
        UserError: fewer than one step, or times outside [0, 1].
    """
    if isinstance(steps, int):
        if steps < 1:
            raise UserError("steps of sampling", expected="at least 1", got=str(steps))
        return [1 - step / steps for step in range(steps)] + [0.0]
    times = [float(time) for time in steps]
    if len(times) < 2 or not all(0 <= time <= 1 for time in times):
        got = ", ".join(str(time) for time in times) or "none"
        raise UserError("times of sampling", expected="two or more in [0, 1]", got=got)
    return times


def _falling(times: list[float]) -> list[float]:
    """The times, when each is below the one before.

    Raises:
        UserError: some are not.
    """
    if any(after >= before for before, after in pairwise(times)):
        got = f"{times[0]:g} to {times[-1]:g}"
        raise UserError("times of sampling", expected="falling ones", got=got)
    return times


class _Chain:
    """Where a sampler is: the noisy signal, and what the denoiser remembers."""

    def __init__(
        self,
        denoise: Denoise,
        noise: Tensor,
        schedule: Schedule,
        target: Target,
        bound: float | None,
    ) -> None:
        self.x = noise if noise.dtype == torch.float64 else noise.float()
        self.carry: Any = None
        self._denoise = denoise
        self._schedule = schedule
        self._target = target
        self._bound = bound

    def gamma(self, time: float) -> Float[Tensor, ""]:
        """Gamma of a time, a number on the CPU."""
        return self._schedule(torch.tensor(time, dtype=torch.float64))

    @torch.no_grad()
    def estimate(self, gamma: Float[Tensor, ""]) -> tuple[Tensor, Tensor]:
        """The clipped signal that the denoiser sees, and the noise beside it; one evaluation.

        Raises:
            UserError: there is no noise to see.
        """
        if gamma >= 1:
            expected = "one at which the schedule leaves some noise"
            raise UserError("time of sampling", expected=expected, got="one without any")
        x = self.x
        gammas = torch.full((len(x),), float(gamma), dtype=x.dtype, device=x.device)
        prediction, self.carry = self._denoise(x, gammas, self.carry)
        x0 = targets.to_x(prediction.to(x.dtype), x, gamma, self._target)
        x0 = targets.clip(x0, self._bound)
        return x0, targets.to_eps(x0, x, gamma)


def _log_ratio(gamma: Float[Tensor, ""]) -> float:
    """Half the logarithm of the signal-to-noise ratio, lambda."""
    value = float(gamma)
    return math.inf if value >= 1 else 0.5 * (math.log(value) - math.log1p(-value))

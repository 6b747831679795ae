"""Noise schedules (cosine, sigmoid, linear): the signal's share of variance, gamma, over time.

``x_t = sqrt(gamma(t)) x + sqrt(1 - gamma(t)) eps`` at a time t in [0, 1]; gamma falls from 1 at
time 0 to almost 0 at time 1. A network is told gamma and not the time, so that a model may be
trained with one schedule and sampled with another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.errors import UserError, require_one_of

NAMES = ("cosine", "sigmoid", "linear")


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Cosine schedule: ``gamma(t) = cos^2(pi/2 (t + start) / (1 + span))``.

    Args:
        start: time by which the curve is ahead at 0, so that some noise is always there.
        span: what is added to the length of the curve; above ``start``, so that gamma stays above
            0 at time 1.

    Source: Thesis Alg. 4 (``ns`` and ``ds`` there).
    """

    start: float = 0.0002
    span: float = 0.00025

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.span:
            got = f"{self.start} and {self.span}"
            raise UserError("cosine schedule", expected="0 <= start < span", got=got)

    def __call__(self, time: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Gamma at each time."""
        # The sine of what is left of the quarter turn: exact where the cosine comes to nothing.
        left = ((1 - time) + (self.span - self.start)) / (1 + self.span)
        return torch.sin(left * (math.pi / 2)) ** 2


@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    """Sigmoid schedule.

    ``gamma(t) = (s(end) - s(start + t (end - start))) / (s(end) - s(start))`` with
    ``s(v) = sigmoid(v / temperature)``. Low temperatures give more of the time to low and
    high levels of noise, high ones approach a straight line.

    Args:
        start, end: piece of the sigmoid that is gone through.
        temperature: stretches the sigmoid (tau).
        floor: least gamma.

    Source: Thesis Alg. 4, with ``end`` in ``v_end``; default temperature of 2.6.2.
    """

    start: float = -3.0
    end: float = 3.0
    temperature: float = 0.9
    floor: float = 1e-9

    def __post_init__(self) -> None:
        if not self.start < self.end:
            got = f"{self.start} and {self.end}"
            raise UserError("sigmoid schedule", expected="start < end", got=got)
        if not self.temperature > 0:
            got = str(self.temperature)
            raise UserError("temperature of the sigmoid schedule", expected="above 0", got=got)
        _check_floor(self.floor)

    def __call__(self, time: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Gamma at each time."""
        first, last = (_sigmoid(value / self.temperature) for value in (self.start, self.end))
        here = torch.sigmoid((self.start + time * (self.end - self.start)) / self.temperature)
        return ((last - here) / (last - first)).clamp(self.floor, 1.0)


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Linear schedule: ``gamma(t) = 1 - t``, at least ``floor``.

    Source: the schedule of the authors' configuration for ImageNet at 64 pixels.
    """

    floor: float = 1e-9

    def __post_init__(self) -> None:
        _check_floor(self.floor)

    def __call__(self, time: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Gamma at each time."""
        return (1 - time).clamp(self.floor, 1.0)


Schedule = Cosine | Sigmoid | Linear


def named(
    name: str,
    *,
    temperature: float | None = None,
    start: float | None = None,
    end: float | None = None,
) -> Schedule:
    """The noise schedule of a name.

    Args:
        name: cosine, sigmoid or linear.
        temperature, start, end: of the sigmoid; None keeps the defaults.

    Raises:
        UserError: no such schedule, or settings of the sigmoid for another one.
    """
    require_one_of("schedule", name, NAMES)
    given = {"temperature": temperature, "start": start, "end": end}
    given = {key: value for key, value in given.items() if value is not None}
    if name == "sigmoid":
        return Sigmoid(**{key: float(value) for key, value in given.items() if value is not None})
    if given:
        raise UserError(
            f"the {name} schedule has no {next(iter(given))}", fix="only the sigmoid has one"
        )
    return Cosine() if name == "cosine" else Linear()


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _check_floor(floor: float) -> None:
    if not 0 < floor < 1:
        raise UserError("floor of gamma", expected="a number in (0, 1)", got=str(floor))

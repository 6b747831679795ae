"""Gamma falls from 1 to almost 0, equals Alg. 4, and is exact where it is small."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from reference import diffusion as reference
from scalable_binding.diffusion.schedules import Cosine, Linear, Schedule, Sigmoid, named
from scalable_binding.errors import UserError

PAIRS = [
    (Cosine(), reference.cosine),
    (Sigmoid(), reference.sigmoid),
    (Sigmoid(temperature=0.4), lambda t: reference.sigmoid(t, tau=0.4)),
    (Linear(), reference.linear),
]


@pytest.mark.parametrize(("schedule", "formula"), PAIRS)
def test_gamma_equals_the_formula_of_the_thesis(
    schedule: Schedule, formula: Callable[[float], float]
) -> None:
    times = torch.linspace(0, 1, 101, dtype=torch.float64)
    expected = torch.tensor([formula(float(time)) for time in times], dtype=torch.float64)
    torch.testing.assert_close(schedule(times), expected, rtol=1e-9, atol=1e-12)
    single = schedule(times.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=2e-7)


@pytest.mark.parametrize("schedule", [pair[0] for pair in PAIRS])
def test_gamma_falls_from_one_to_almost_nothing(schedule: Schedule) -> None:
    gamma = schedule(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert (gamma.diff() < 0).all()
    assert gamma[0] > 1 - 1e-6
    assert 0 < gamma[-1] < 1e-8


def test_the_cosine_is_exact_in_single_precision_at_the_end() -> None:
    """cos^2 of nearly a quarter turn would be off by a thousandth there."""
    found = float(Cosine()(torch.tensor(1.0)))
    assert found == pytest.approx(reference.cosine(1.0), rel=1e-5)


def test_a_low_temperature_gives_more_time_to_the_extremes() -> None:
    times = torch.linspace(0, 1, 1001)
    extremes = [
        ((gamma < 0.1) | (gamma > 0.9)).float().mean()
        for gamma in (Sigmoid(temperature=t)(times) for t in (0.3, 0.9, 3.0))
    ]
    assert extremes[0] > extremes[1] > extremes[2]


def test_schedules_have_names() -> None:
    assert named("cosine") == Cosine()
    assert named("sigmoid") == Sigmoid()
    assert named("sigmoid", temperature=1.1) == Sigmoid(temperature=1.1)
    assert named("linear") == Linear()
    with pytest.raises(UserError, match="linear schedule has no temperature"):
        named("linear", temperature=1.0)
    with pytest.raises(UserError, match="expected one of cosine, sigmoid, linear, got 'square'"):
        named("square")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Cosine(start=0.1, span=0.1), "start < span"),
        (lambda: Sigmoid(start=1.0, end=1.0), "start < end"),
        (lambda: Sigmoid(temperature=0.0), "temperature"),
        (lambda: Linear(floor=0.0), "floor"),
    ],
)
def test_impossible_schedules_are_refused(build: Callable[[], Schedule], words: str) -> None:
    with pytest.raises(UserError, match=words):
        build()


def test_the_sigmoid_takes_a_piece_of_its_own() -> None:
    found = named("sigmoid", temperature=0.5, start=-2.0, end=4.0)
    assert found == Sigmoid(temperature=0.5, start=-2.0, end=4.0)
    with pytest.raises(UserError, match="the cosine schedule has no start"):
        named("cosine", start=0.0)

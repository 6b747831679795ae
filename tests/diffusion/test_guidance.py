"""Guidance leads away from the unconditional model, where it is asked to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scalable_binding.diffusion import samplers
from scalable_binding.diffusion.guidance import guide
from scalable_binding.diffusion.schedules import Cosine
from scalable_binding.errors import UserError


class Memory:
    """The gammas of every step so far, one column for each sample."""

    def __init__(self, rows: list[Tensor]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows[-1])

    def take(self, count: int) -> Memory:
        return Memory([row[:count] for row in self.rows])

    def twice(self) -> Memory:
        return Memory([torch.cat([row, row]) for row in self.rows])


def denoise(x_t: Tensor, gamma: Tensor, carry: Any, b: int = 3) -> tuple[Tensor, Any]:
    """Predicts 1 for the first b of the batch and .25 for the others; remembers the gammas."""
    prediction = torch.cat([torch.ones_like(x_t[:b]), torch.full_like(x_t[b:], 0.25)])
    return prediction, Memory([*(carry.rows if carry else []), gamma])


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 0.25), (1.0, 1.0), (2.0, 1.75)])
def test_predictions_are_extrapolated(scale: float, expected: float) -> None:
    found, carry = guide(denoise, scale)(torch.zeros(3, 2), torch.full((3,), 0.5), None)
    torch.testing.assert_close(found, torch.full((3, 2), expected))
    assert len(carry) == 6


def test_guidance_stays_within_its_interval() -> None:
    gamma = torch.tensor([0.1, 0.4, 0.9])
    found, _ = guide(denoise, 2.0, (0.3, 0.6))(torch.zeros(3, 1), gamma, None)
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0, 1.75, 1.0]))


def test_the_carry_of_both_halves_travels() -> None:
    states = list(samplers.ddim(guide(denoise, 2.0), torch.zeros(3, 2), Cosine(), 4, target="x"))
    assert [len(state.carry.rows) for state in states] == [1, 2, 3, 4]
    assert all(len(gamma) == 6 for gamma in states[-1].carry.rows)
    torch.testing.assert_close(states[-1].x0, torch.ones(3, 2))


@pytest.mark.parametrize("interval", [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)])
def test_impossible_intervals_are_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="interval of guidance"):
        guide(denoise, 2.0, interval)


def test_outside_its_interval_one_half_alone_is_computed() -> None:
    asked: list[int] = []

    def counting(x: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        asked.append(len(x))
        assert carry is None or len(carry) == len(x)
        return denoise(x, gamma, carry)

    guided = guide(counting, 2.0, (0.3, 0.6))
    states = list(samplers.ddim(guided, torch.zeros(3, 2), Cosine(), 8, target="x"))
    gammas = [float(Cosine()(torch.tensor(1 - step / 8))) for step in range(8)]
    assert asked == [6 if 0.3 <= gamma <= 0.6 else 3 for gamma in gammas]
    assert {3, 6} == set(asked) and len(states) == 8


@pytest.mark.parametrize("shares", [False, True])
def test_both_halves_may_share_the_carry_of_the_conditional_one(shares: bool) -> None:
    told: list[Tensor] = []

    def marking(x: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        if carry is not None:
            told.append(carry.rows[-1])
        return torch.zeros_like(x), Memory([torch.arange(len(x))])

    guided = guide(marking, 2.0, shares_carry=shares)
    list(samplers.ddim(guided, torch.zeros(3, 2), Cosine(), 2, target="x"))
    assert told[0].tolist() == [0, 1, 2] + ([0, 1, 2] if shares else [3, 4, 5])

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


def denoise(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """Predicts 1 for the first half of the batch and .25 for the second; remembers the gammas."""
    b = len(x_t) // 2
    prediction = torch.cat([torch.ones_like(x_t[:b]), torch.full_like(x_t[b:], 0.25)])
    return prediction, [*(carry or []), gamma]


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 0.25), (1.0, 1.0), (2.0, 1.75)])
def test_predictions_are_extrapolated(scale: float, expected: float) -> None:
    found, carry = guide(denoise, scale)(torch.zeros(3, 2), torch.full((3,), 0.5), None)
    torch.testing.assert_close(found, torch.full((3, 2), expected))
    assert len(carry[0]) == 6


def test_guidance_stays_within_its_interval() -> None:
    gamma = torch.tensor([0.1, 0.4, 0.9])
    found, _ = guide(denoise, 2.0, (0.3, 0.6))(torch.zeros(3, 1), gamma, None)
    torch.testing.assert_close(found[:, 0], torch.tensor([1.0, 1.75, 1.0]))


def test_the_carry_of_both_halves_travels() -> None:
    states = list(samplers.ddim(guide(denoise, 2.0), torch.zeros(3, 2), Cosine(), 4, target="x"))
    assert [len(state.carry) for state in states] == [1, 2, 3, 4]
    assert all(len(gamma) == 6 for gamma in states[-1].carry)
    torch.testing.assert_close(states[-1].x0, torch.ones(3, 2))


@pytest.mark.parametrize("interval", [(0.5, 0.5), (-0.1, 1.0), (0.0, 1.1)])
def test_impossible_intervals_are_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(UserError, match="interval of guidance"):
        guide(denoise, 2.0, interval)

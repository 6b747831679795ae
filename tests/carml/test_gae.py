"""Advantages against sums written out, and against torchrl's."""

from __future__ import annotations

import pytest
import torch

from reference.advantages import advantages as slow_advantages
from scalable_binding.carml.gae import gae


@pytest.mark.parametrize(("discount", "gae_lambda"), [(0.97, 0.95), (1.0, 1.0), (0.9, 0.0)])
def test_they_are_the_sum_over_what_follows(discount: float, gae_lambda: float) -> None:
    random = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 5, 12, generator=random)
    active = torch.rand(5, 12, generator=random) < 0.7
    found = gae(rewards, values, active, discount=discount, gae_lambda=gae_lambda)
    for row in range(5):
        expected = slow_advantages(
            rewards[row].tolist(), values[row].tolist(), active[row].tolist(), discount, gae_lambda
        )
        assert found.advantages[row].tolist() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(found.returns, found.advantages + values)


def test_with_lambda_1_returns_are_discounted_sums() -> None:
    rewards = torch.tensor([[1.0, 2.0, 4.0]])
    values, active = torch.randn(1, 3), torch.ones(1, 3, dtype=torch.bool)
    found = gae(rewards, values, active, discount=0.5, gae_lambda=1.0)
    torch.testing.assert_close(found.returns, torch.tensor([[3.0, 4.0, 4.0]]))


def test_later_episodes_count_in_earlier_ones() -> None:
    """Episodes of two steps: a reward in the second makes the first one's actions good."""
    rewards = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    none, active = torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)
    found = gae(rewards, none, active, discount=0.9, gae_lambda=1.0)
    assert found.advantages[0, 0] == pytest.approx(0.9**3)


@pytest.mark.slow
def test_torchrl_finds_the_same() -> None:
    functional = pytest.importorskip("torchrl.objectives.value.functional")
    random = torch.Generator().manual_seed(1)
    rewards, values = torch.randn(2, 4, 10, generator=random)
    last = torch.zeros(4, 10, 1, dtype=torch.bool)
    last[:, -1] = True
    after = torch.cat([values[:, 1:], torch.zeros(4, 1)], dim=1)
    expected, returns = functional.generalized_advantage_estimate(
        0.97, 0.95, values[..., None], after[..., None], rewards[..., None], done=last
    )
    found = gae(
        rewards, values, torch.ones(4, 10, dtype=torch.bool), discount=0.97, gae_lambda=0.95
    )
    torch.testing.assert_close(found.advantages, expected[..., 0])
    torch.testing.assert_close(found.returns, returns[..., 0])

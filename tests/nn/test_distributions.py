"""Distributions over actions against torch's own."""

from __future__ import annotations

import torch
from torch import distributions as theirs
from torch.distributions import Independent, Normal

from scalable_binding.nn.distributions import Categorical, DiagonalGaussian

RANDOM = torch.Generator().manual_seed(0)


def test_choices_are_categorical() -> None:
    actions, logits = Categorical(4), torch.randn(6, 4, generator=RANDOM)
    chosen = torch.randint(4, (6,), generator=RANDOM)
    expected = theirs.Categorical(logits=logits)
    torch.testing.assert_close(actions.log_prob(logits, chosen), expected.log_prob(chosen))
    torch.testing.assert_close(actions.entropy(logits), expected.entropy())


def test_choices_are_drawn_as_often_as_likely() -> None:
    actions, logits = Categorical(3), torch.tensor([0.0, 1.0, -1.0])
    drawn = actions.sample(logits.expand(40_000, 3), torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=3) / 40_000
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.01, rtol=0)
    assert actions.sample(logits[None], None).tolist() == [1]


def test_vectors_are_normal() -> None:
    actions, means = DiagonalGaussian(2), torch.randn(6, 2, generator=RANDOM)
    with torch.no_grad():
        actions.log_std.copy_(torch.tensor([0.3, -1.0]))
    expected = Independent(Normal(means, actions.log_std.exp().expand(6, 2)), 1)
    drawn = actions.sample(means, RANDOM)
    torch.testing.assert_close(actions.log_prob(means, drawn), expected.log_prob(drawn))
    torch.testing.assert_close(actions.entropy(means), expected.entropy())
    assert torch.equal(actions.sample(means, None), means)


def test_before_the_first_action_there_is_none() -> None:
    assert not Categorical(3).embed(Categorical(3).initial_actions(2)).any()
    assert not DiagonalGaussian(3).embed(DiagonalGaussian(3).initial_actions(2)).any()
    assert Categorical(3).embed(torch.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]

"""The VAE scaffold against direct numerical evaluation, and what it makes of a simple world."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from scalable_binding.carml.config import RewardConfig, ScaffoldConfig, VAEConfig
from scalable_binding.carml.reward import ReservoirWhitening, ScaffoldReward
from scalable_binding.carml.scaffold import build_scaffold
from scalable_binding.carml.vae import VAEScaffold
from scalable_binding.errors import UserError

CONFIG = VAEConfig(width=2, hidden=24, epochs=40, batch_size=32, deviation=0.2)


def rays(num=200, length=6, seed=0):
    """Straight paths from the origin in all directions, float32 (n t 2)."""
    angles = 2 * math.pi * torch.rand(num, generator=torch.Generator().manual_seed(seed))
    directions = torch.stack([angles.cos(), angles.sin()], dim=-1)
    return directions[:, None] * torch.arange(1.0, length + 1)[:, None]


def fitted(epochs=40):
    scaffold = VAEScaffold((2,), 6, VAEConfig(width=2, hidden=24, epochs=epochs, deviation=0.2))
    figures = scaffold.fit(rays(), torch.Generator().manual_seed(0))
    return scaffold, figures


def test_likelihood_of_a_state_is_a_mean_over_the_moments_of_the_trajectory():
    """Eq. 4.38, with its 1 / T."""
    scaffold, _ = fitted(1)
    states, tasks = torch.randn(3, 2), torch.randn(4, 2)
    found = scaffold.log_likelihood(states, tasks)
    means = (scaffold.decode(tasks) - scaffold.shift) / scaffold.scale
    for i in range(3):
        for e in range(4):
            densities = [Normal(means[e, t], 0.2).log_prob(states[i]).sum().exp() for t in range(6)]
            assert float(found[i, e].exp()) == pytest.approx(float(sum(densities)) / 6, rel=1e-4)
    assert torch.allclose(
        scaffold.paired_log_likelihood(states, tasks[:3]), found[:, :3].diagonal()
    )


def test_evidence_is_equation_4_36_summed_over_a_trajectory():
    scaffold, _ = fitted(1)
    states, noise = scaffold.encode(rays(5)), torch.randn(5, 2)
    with torch.no_grad():
        found, posterior = scaffold.evidence(states, noise), scaffold.recognize(states)
    for i in range(5):
        q = Normal(posterior.mean[i], posterior.variance[i].sqrt())
        z = q.mean + q.stddev * noise[i]
        means = (scaffold.decode(z[None])[0] - scaffold.shift) / scaffold.scale
        total = sum(Normal(means[t], 0.2).log_prob(states[i, t]).sum() for t in range(6))
        divergence = kl_divergence(q, Normal(torch.zeros(2), torch.ones(2))).sum()
        assert float(found[i]) == pytest.approx(float(total - divergence), rel=1e-4)


def test_posterior_of_a_trajectory_is_the_mean_of_two_heads_over_its_states():
    scaffold, _ = fitted(1)
    states = torch.randn(3, 6, 2)
    whole = scaffold.recognize(states)
    each = [scaffold.recognize(states[:, t : t + 1]) for t in range(6)]
    assert torch.allclose(whole.mean, torch.stack([p.mean for p in each]).mean(0), atol=1e-6)
    variances = torch.stack([p.variance for p in each])
    assert torch.allclose(whole.variance, variances.mean(0), atol=1e-6)
    assert not torch.allclose(whole.mean, whole.variance)


def test_marginal_is_a_bound_below_the_numerical_integral():
    scaffold, _ = fitted()
    states = scaffold.encode(rays(8, seed=3).reshape(-1, 2))
    grid = torch.cartesian_prod(*[torch.linspace(-4, 4, 81)] * 2)
    prior = Normal(0.0, 1.0).log_prob(grid).sum(-1) + 2 * math.log(0.1)
    exact = (scaffold.log_likelihood(states, grid) + prior).logsumexp(-1)
    bound = scaffold.marginal(states)
    assert float((bound - exact).mean()) < 0.05  # few noises: a bound in expectation only
    assert float((bound - exact).median()) > -4


@pytest.mark.slow
def test_learns_directions():
    scaffold, figures = fitted(150)
    fresh = rays(50, seed=5)
    error = (scaffold.reconstruct(fresh) - fresh).norm(dim=-1).mean()
    scale = fresh.norm(dim=-1).mean()
    assert error < 0.25 * scale
    assert figures["scaffold_likelihood"] > -1


def test_rewards_and_state_as_for_any_scaffold():
    config = ScaffoldConfig(kind="vae", vae=CONFIG)
    first, second = (build_scaffold((2,), config, 6) for _ in range(2))
    first.fit(rays(), torch.Generator().manual_seed(0))
    second.load_state_dict(first.state_dict())
    whitening = ReservoirWhitening(2, 0.9, num=100)
    whitening.measure(first, rays(), torch.Generator().manual_seed(0))
    tasks = first.sample_tasks(7, torch.Generator().manual_seed(0))
    states = torch.randn(7, 2)
    paid = [
        ScaffoldReward(s, tasks, RewardConfig(weight=0.9), whitening).raw(states)
        for s in (first, second)
    ]
    assert torch.equal(paid[0], paid[1])
    features = first.encode(states)
    direct = 0.9 * first.log_likelihood(features, tasks).diagonal() - first.marginal(features)
    assert torch.allclose(paid[0], direct, atol=1e-4)


def test_pixels_are_refused():
    with pytest.raises(UserError, match=r"vae: expected states.*use mixture"):
        VAEScaffold((3, 24, 24), 6, CONFIG)

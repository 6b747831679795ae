"""Mixtures of trajectories against loops, scikit-learn and what must hold of any of them."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from carml.trajectories import blobs
from reference import map_mixture as map_reference
from reference import mixture as reference
from scalable_binding.carml import mixture
from scalable_binding.carml.config import MixtureConfig
from scalable_binding.carml.mixture import Mixture

KINDS = ("full", "diagonal", "spherical")


def as_matrices(covariances, width):
    """Any form of covariance as (k d d)."""
    if covariances.ndim == 3:
        return covariances
    return torch.diag_embed(covariances.expand(-1, width))


def fit(trajectories, seed=0, **settings):
    config = MixtureConfig(**{"components": 4, **settings})
    return mixture.fit(trajectories, config, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_responsibilities_are_those_of_whole_trajectories(kind):
    trajectories = blobs(12)
    found = fit(trajectories, covariance=kind).mixture
    covariances = as_matrices(found.covariances, 3)
    expected, _ = reference.responsibilities(
        trajectories, found.log_weights.exp(), found.means, covariances
    )
    assert torch.allclose(found.responsibilities(trajectories), expected, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_alone_give_the_likelihood_of_a_trajectory(kind):
    trajectories = blobs(12)
    found = fit(trajectories, covariance=kind).mixture
    summed = mixture.trajectory_log_likelihood(mixture.summarize(trajectories, kind), found)
    assert torch.allclose(summed, found.log_likelihood(trajectories).sum(1))


FLAT = {"prior_trajectories": 1e-12, "weight_prior": 1.0}
"""Priors that weigh nothing: maximum likelihood."""


def test_m_step_without_priors_is_equations_4_17_to_4_19():
    trajectories = blobs(10)
    shares = torch.rand(10, 3, dtype=torch.float64).softmax(-1)
    weights, means, covariances = reference.estimate(trajectories, shares)
    for kind in KINDS:
        config = MixtureConfig(components=3, covariance=kind, **FLAT)
        found = mixture.m_step(mixture.summarize(trajectories, kind), shares, config)
        assert torch.allclose(found.log_weights.exp(), weights.double(), atol=1e-6)
        assert torch.allclose(found.means, means)
        expected = {
            "full": covariances,
            "diagonal": covariances.diagonal(dim1=-2, dim2=-1),
            "spherical": covariances.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True),
        }[kind]
        assert torch.allclose(found.covariances, expected, atol=1e-9)


def test_m_step_and_objective_are_those_of_loops():
    trajectories = blobs(10)
    shares = torch.rand(10, 3, dtype=torch.float64).softmax(-1)
    priors = {"alpha": 3.0, "mode": 0.4, "pseudo": 1.5, "noise": 0.2}
    weights, means, covariances = map_reference.m_step(trajectories, shares, **priors)
    config = MixtureConfig(
        components=3,
        covariance="full",
        weight_prior=3.0,
        prior_variance=0.4,
        prior_trajectories=1.5,
        regularization=0.2,
        iterations=1,
    )
    found = mixture.m_step(mixture.summarize(trajectories, "full"), shares, config)
    assert torch.allclose(found.log_weights.exp(), weights)
    assert torch.allclose(found.means, means) and torch.allclose(found.covariances, covariances)
    expected = map_reference.log_posterior(trajectories, weights, means, covariances, **priors)
    fitted = mixture.maximize(trajectories, shares, config)
    assert fitted.objective == pytest.approx(expected / 50)


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    alpha=st.floats(1.0, 20.0),
    mode=st.floats(1e-3, 10.0),
    pseudo=st.floats(0.1, 50.0),
    noise=st.floats(0.0, 2.0),
)
def test_every_iteration_raises_the_objective(kind, seed, alpha, mode, pseudo, noise):
    trajectories = blobs(40, 4, 3, seed)
    members = functional.one_hot(torch.arange(40) % 5, 5).double()
    config = MixtureConfig(
        components=5,
        covariance=kind,
        iterations=60,
        tolerance=0.0,
        weight_prior=alpha,
        prior_variance=mode,
        prior_trajectories=pseudo,
        regularization=noise,
    )
    history = mixture.maximize(trajectories, members, config).history
    slack = 1e-9 * max(map(abs, history))
    assert all(later >= earlier - slack for earlier, later in pairwise(history))


@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_until_the_objective_stands_still(kind):
    """Not for two iterations only, as when a lower likelihood ended it; and tasks stay alive."""
    trajectories = blobs(200, 6, 4)
    fitted = fit(trajectories, components=16, covariance=kind, starts=1)
    assert fitted.iterations > 3
    assert fitted.history[-1] - fitted.history[-2] <= 1e-6 * abs(fitted.history[-2])
    used = fitted.mixture.responsibilities(trajectories).argmax(-1).unique()
    assert len(used) >= 14


def test_reported_likelihood_is_that_of_trajectories_with_z_bound_to_each():
    trajectories = blobs(12)
    fitted = fit(trajectories, covariance="full")
    found = fitted.mixture
    _, total = reference.responsibilities(
        trajectories, found.log_weights.exp(), found.means, found.covariances
    )
    assert fitted.log_likelihood == pytest.approx(total / 12)


def test_with_z_unbound_all_components_would_be_equal():
    """Eq. 4.3 as printed: z drawn apart from the trajectory fits every component to all states."""
    trajectories = blobs(30)
    unbound = torch.full((30, 3), 1 / 3, dtype=torch.float64)
    statistics = mixture.summarize(trajectories, "diagonal")
    found = mixture.m_step(statistics, unbound, MixtureConfig(components=3, **FLAT))
    everything = trajectories.reshape(-1, 3)
    for mean, variance in zip(found.means, found.covariances, strict=True):
        assert torch.allclose(mean, everything.mean(0))
        assert torch.allclose(variance, everything.var(0, correction=0))
    assert fit(trajectories, components=3).mixture.means.std(0).min() > 0.5


def test_label_of_a_trajectory_is_not_the_vote_of_its_states():
    """Alg. 9 line 6 per state differs from one label for the trajectory in a share of them."""
    trajectories = blobs(200, 4, 2)
    found = fit(trajectories, components=8).mixture
    joint = found.log_weights + found.log_likelihood(trajectories)
    whole = found.responsibilities(trajectories).argmax(-1)
    assert torch.equal(
        whole, (found.log_weights + found.log_likelihood(trajectories).sum(1)).argmax(-1)
    )
    agree = (joint.argmax(-1) == whole[:, None]).double().mean()
    assert 0.2 < agree < 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_plain_states_are_fit_as_scikit_learn_fits_them(kind):
    sklearn = pytest.importorskip("sklearn.mixture")
    states = blobs(120, 1)
    config = MixtureConfig(
        components=4, covariance=kind, starts=1, tolerance=1e-14, iterations=2000, **FLAT
    )
    members = functional.one_hot(torch.arange(120) % 4, 4).double()
    ours = mixture.maximize(states, members, config)
    first = mixture.m_step(mixture.summarize(states, kind), members, config)
    precisions = {
        "full": lambda c: torch.linalg.inv(c),
        "diagonal": lambda c: 1 / c,
        "spherical": lambda c: 1 / c[:, 0],
    }[kind](first.covariances)
    theirs = sklearn.GaussianMixture(
        4,
        covariance_type={"diagonal": "diag"}.get(kind, kind),
        reg_covar=0.0,
        tol=1e-12,
        max_iter=2000,
        weights_init=(first.log_weights.exp() / first.log_weights.exp().sum()).numpy(),
        means_init=first.means.numpy(),
        precisions_init=precisions.numpy(),
    ).fit(states[:, 0].numpy())
    assert ours.log_likelihood == pytest.approx(theirs.score(states[:, 0].numpy()), abs=1e-6)
    assert torch.allclose(ours.mixture.means, torch.from_numpy(theirs.means_), atol=1e-3)
    scores = torch.from_numpy(theirs.score_samples(states[:, 0].numpy()))
    assert torch.allclose(ours.mixture.marginal(states[:, 0]), scores, atol=1e-3)


def test_lengths_count_as_much_as_that_many_states():
    """Equal responsibilities along a trajectory are those of its states taken together."""
    states = blobs(30, 1)
    doubled = states.repeat(1, 2, 1)
    found = Mixture(
        torch.log(torch.tensor([0.3, 0.7], dtype=torch.float64)),
        torch.zeros(2, 3, dtype=torch.float64) + torch.tensor([[0.0], [1.0]]),
        torch.ones(2, 1, dtype=torch.float64),
    )
    once, twice = (x.log() for x in map(found.responsibilities, (states, doubled)))
    odds = [each[:, 1] - each[:, 0] - math.log(7 / 3) for each in (once, twice)]
    assert torch.allclose(2 * odds[0], odds[1])


def test_empty_component_is_given_what_is_explained_worst():
    trajectories = torch.cat([blobs(20, 3, 2) * 0.1, torch.full((1, 3, 2), 50.0)]).double()
    members = torch.zeros(21, 2, dtype=torch.float64)
    members[:, 0] = 1  # the second component has nothing
    fitted = mixture.maximize(trajectories, members, MixtureConfig(components=2, weight_prior=1.0))
    assert fitted.reseeded >= 1
    assert fitted.mixture.log_weights.exp().min() == pytest.approx(1 / 21, rel=1e-3)
    assert torch.allclose(fitted.mixture.means[1], torch.tensor([50.0, 50.0], dtype=torch.float64))


def test_far_from_the_origin_nothing_is_lost():
    trajectories = blobs(40)
    near, far = fit(trajectories), fit(trajectories + 1e6)
    assert near.log_likelihood == pytest.approx(far.log_likelihood, abs=1e-3)


def test_placeholder_has_the_shapes_of_a_fit():
    for kind in KINDS:
        config = MixtureConfig(components=4, covariance=kind)
        first, fitted = mixture.placeholder(config, 3), fit(blobs(), covariance=kind).mixture
        assert first.covariances.shape == fitted.covariances.shape
        assert first.means.shape == fitted.means.shape
        assert bool(torch.isfinite(first.marginal(torch.zeros(2, 3))).all())

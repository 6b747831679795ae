"""Gaussian mixtures of trajectories: all states of one have the same responsibilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from einops import einsum, rearrange, repeat
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.carml.clustering import cluster, sum_of
from scalable_binding.carml.config import Covariance, MixtureConfig
from scalable_binding.engine.distributed import DistributedContext

LEAST_SHARE = 1e-6
"""Of all trajectories; a component with less is empty."""


@dataclass(frozen=True)
class Mixture:
    """q(s, z) = q(z) N(s; mu_z, Sigma_z), and q(tau | z) = prod_t q(s_t | z).

    Attributes:
        log_weights: log q(z).
        means: mu.
        covariances: Sigma, (k d d) if full, (k d) if diagonal, (k 1) if spherical.
    """

    log_weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    covariances: Float[Tensor, "k *size"]

    def log_likelihood(self, states: Float[Tensor, "*b d"]) -> Float[Tensor, "*b k"]:
        """The log q(s|z) of each state under each component."""
        centered = states.to(self.means.dtype)[..., None, :] - self.means
        d = self.means.shape[-1]
        if self.covariances.ndim == 3:
            lower = torch.linalg.cholesky(self.covariances)
            inverse = torch.linalg.inv(lower)
            scaled = einsum(inverse, centered, "k i j, ... k j -> ... k i")
            log_det = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        else:
            scaled = centered * self.covariances.rsqrt()
            log_det = self.covariances.log().expand(-1, d).sum(-1)
        return -0.5 * (scaled.square().sum(-1) + log_det + d * math.log(2 * math.pi))

    def marginal(self, states: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        """The log q(s) of each state by itself."""
        return (self.log_weights + self.log_likelihood(states)).logsumexp(-1)

    def responsibilities(self, trajectories: Float[Tensor, "n t d"]) -> Float[Tensor, "n k"]:
        """q(z | s_1 .. s_T): one distribution for all states of a trajectory (Eq. 4.16)."""
        return (self.log_weights + self.log_likelihood(trajectories).sum(-2)).softmax(-1)


class Fitted(NamedTuple):
    """A mixture, the mean log-likelihood of a trajectory, and how it came about.

    ``reseeded`` counts the components that had become empty and started again.
    """

    mixture: Mixture
    log_likelihood: float
    iterations: int
    reseeded: int


class Statistics(NamedTuple):
    """Of each trajectory: [T, sum_t s_t, sum_t of squares or outer products], side by side.

    Nothing else about its states enters the likelihood of a trajectory or the M-step, since the
    responsibilities are the same for all of them: an iteration costs as much as with one state a
    trajectory, and either step is one matrix product.

    Attributes:
        columns: the three of them.
        width: d, of a state.
    """

    columns: Float[Tensor, "n p"]
    width: int


def fit(
    trajectories: Float[Tensor, "n t d"],
    config: MixtureConfig,
    generator: Generator,
    ranks: DistributedContext | None = None,
) -> Fitted:
    """The likeliest of several mixtures, each fit by expectation-maximization from a clustering.

    Maximizes sum_i log sum_z q(z) prod_t q(s_t^i | z), in float64.

    Args:
        trajectories: this rank's.
        config: components, form of the covariances, starts.
        generator: of the clusterings; only the first rank's counts.
        ranks: if given, the trajectories of all ranks are fit together.

    Raises:
        UserError: fewer trajectories than components.

    Source: Thesis Eq. 4.14-4.19 (with s_t^i in 4.17 and 4.18); Alg. 9 lines 4 and 5.
    """
    states = trajectories.double()
    shift = sum_of(states.mean(dim=(0, 1)), ranks) / (ranks.size if ranks else 1)
    states = states - shift  # products of large numbers would cancel
    best: Fitted | None = None
    for _ in range(config.starts):
        found = cluster(
            states,
            config.components,
            generator,
            starts=config.cluster_starts,
            iterations=config.cluster_iterations,
            ranks=ranks,
        )
        members = torch.nn.functional.one_hot(found.labels, config.components).double()
        fitted = maximize(states, members, config, ranks)
        if best is None or fitted.log_likelihood > best.log_likelihood:
            best = fitted
    assert best is not None
    mixture = best.mixture
    moved = Mixture(mixture.log_weights, mixture.means + shift, mixture.covariances)
    return best._replace(mixture=moved)


def maximize(
    states: Float[Tensor, "n t d"],
    responsibilities: Float[Tensor, "n k"],
    config: MixtureConfig,
    ranks: DistributedContext | None = None,
) -> Fitted:
    """Expectation-maximization from given responsibilities, until the likelihood stands still."""
    statistics = summarize(states, config.covariance)
    reseeded, before, likelihood = 0, -math.inf, -math.inf
    mixture = estimate(statistics, responsibilities, config, ranks)
    for iteration in range(1, config.iterations + 1):
        joint = trajectory_log_likelihood(statistics, mixture).add_(mixture.log_weights)
        evidence = joint.logsumexp(-1)
        totals = sum_of(torch.stack([evidence.sum(), evidence.new_tensor(len(evidence))]), ranks)
        likelihood = float(totals[0] / totals[1])
        responsibilities = joint.sub_(evidence[:, None]).exp_()
        empty = _find_empty(responsibilities, ranks)
        if not bool(empty.any()) and likelihood - before < config.tolerance:
            return Fitted(mixture, likelihood, iteration, reseeded)
        reseeded += int(empty.sum())
        responsibilities = _revive(responsibilities, empty, evidence, ranks)
        before = likelihood if not bool(empty.any()) else -math.inf
        mixture = estimate(statistics, responsibilities, config, ranks)
    return Fitted(mixture, likelihood, config.iterations, reseeded)


def summarize(states: Float[Tensor, "n t d"], covariance: Covariance) -> Statistics:
    """What the fit needs to know of each trajectory."""
    if covariance == "full":
        products = einsum(states, states, "n t i, n t j -> n i j")
        products = rearrange(products, "n i j -> n (i j)")
    else:
        products = states.square().sum(1)
        if covariance == "spherical":
            products = products.sum(-1, keepdim=True)
    lengths = torch.full_like(products[:, :1], states.shape[1])
    return Statistics(torch.cat([lengths, states.sum(1), products], dim=-1), states.shape[-1])


def trajectory_log_likelihood(statistics: Statistics, mixture: Mixture) -> Float[Tensor, "n k"]:
    """The sum over t of log q(s_t | z), out of sums alone.

    -2 sum_t log N(s_t) = T (log det + d log 2 pi + mu' P mu) + tr(P sum s s') - 2 mu' P sum s.
    """
    means, covariances = mixture.means, mixture.covariances
    d = means.shape[-1]
    if covariances.ndim == 3:
        lower = torch.linalg.cholesky(covariances)
        precision = torch.cholesky_inverse(lower)
        linear = einsum(precision, means, "k i j, k j -> k i")
        log_det = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        quadratic = rearrange(precision, "k i j -> k (i j)")
    else:
        quadratic = covariances.reciprocal()
        linear = means * quadratic
        log_det = covariances.log().expand(-1, d).sum(-1)
    constant = log_det + d * math.log(2 * math.pi) + (means * linear).sum(-1)
    natural = torch.cat([constant[:, None], -2 * linear, quadratic], dim=-1)
    return statistics.columns @ (-0.5 * natural).mT


def estimate(
    statistics: Statistics,
    responsibilities: Float[Tensor, "n k"],
    config: MixtureConfig,
    ranks: DistributedContext | None = None,
) -> Mixture:
    """The M-step: the likeliest weights, means and covariances (Eq. 4.17-4.19)."""
    width = statistics.width
    totals = sum_of(responsibilities.mT @ statistics.columns, ranks)
    states = totals[:, :1]
    means = totals[:, 1 : 1 + width] / states.clamp(min=1e-30)
    second = totals[:, 1 + width :] / states.clamp(min=1e-30)
    if config.covariance == "full":
        outer = einsum(means, means, "k i, k j -> k i j")
        covariances = rearrange(second, "k (i j) -> k i j", i=width) - outer
        floor = config.regularization * torch.eye(width, dtype=means.dtype)
        covariances = covariances + floor
    elif config.covariance == "diagonal":
        covariances = (second - means.square()).clamp(min=0) + config.regularization
    else:
        scatter = (second - means.square().sum(-1, keepdim=True)) / width
        covariances = scatter.clamp(min=0) + config.regularization
    return Mixture((states[:, 0] / states.sum()).log(), means, covariances)


def _find_empty(responsibilities: Float[Tensor, "n k"], ranks: DistributedContext | None) -> Tensor:
    totals = sum_of(responsibilities.sum(0), ranks)
    return totals < LEAST_SHARE * totals.sum()


def _revive(
    responsibilities: Tensor, empty: Tensor, evidence: Tensor, ranks: DistributedContext | None
) -> Tensor:
    """Give each empty component one of the trajectories that the mixture explains worst.

    The first rank gives them; the others only take note.
    """
    if not bool(empty.any()):
        return responsibilities
    chosen = empty.nonzero()[:, 0]
    worst = evidence.topk(min(len(chosen), len(evidence)), largest=False).indices
    revived = responsibilities.clone()
    if ranks is None or ranks.is_first:
        for component, trajectory in zip(chosen.tolist(), worst.tolist(), strict=False):
            revived[trajectory] = 0
            revived[trajectory, component] = 1
    return revived


def placeholder(config: MixtureConfig, width: int) -> Mixture:
    """A mixture of the shapes that a fit will have; every component is the same."""
    k = config.components
    sizes = {"full": (width, width), "diagonal": (width,), "spherical": (1,)}
    ones = torch.ones(sizes[config.covariance], dtype=torch.float64)
    if config.covariance == "full":
        ones = torch.eye(width, dtype=torch.float64)
    return Mixture(
        torch.full((k,), -math.log(k), dtype=torch.float64),
        torch.zeros(k, width, dtype=torch.float64),
        repeat(ones, "... -> k ...", k=k).clone(),
    )

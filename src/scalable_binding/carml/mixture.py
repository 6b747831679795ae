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

LEAST_TRAJECTORIES = 0.5
"""A component that explains fewer is empty."""


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
    """A mixture, and how it came about.

    Attributes:
        mixture: the fitted one.
        log_likelihood: mean over trajectories, without the prior.
        objective: mean log posterior of a state, which EM raises (see :func:`fit`).
        iterations: of expectation-maximization.
        reseeded: components that had become empty and started again.
        history: the objective after each iteration since the last re-seeding.
    """

    mixture: Mixture
    log_likelihood: float
    objective: float
    iterations: int
    reseeded: int
    history: tuple[float, ...]


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
    """MAP expectation-maximization: the best of several starts, each from a k-means clustering.

    Maximizes, in float64, the log posterior

        J = sum_i log sum_z q(z) prod_t f_z(s_t^i) + log Dir(q(z); alpha)
            + sum_z log InvGamma(Sigma_z; mode v, m pseudo-trajectories of variance v),
        log f_z(s) = E_e log N(s + e; mu_z, Sigma_z) = log N(s; mu_z, Sigma_z) - w/2 tr Sigma_z^-1,

    where e is noise of variance w (``regularization``): states count as known that roughly, and
    components are at least that wide. f_z is q(s|z) if w = 0.

    J rises at every iteration: for responsibilities r_iz the bound sum_iz r_iz [log q(tau_i, z)
    - log r_iz] + log prior is at most J (Jensen), touches J for the posterior that the E-step
    computes, and is maximized over weights, means and covariances in closed form by the M-step.
    This holds for any positive f_z.
    The Dirichlet prior (alpha > 1) keeps every weight above 0; the inverse-gamma prior keeps
    variances from collapsing onto a single trajectory.

    Args:
        trajectories: this rank's.
        config: components, form of the covariances, priors, starts.
        generator: of the clusterings; only the first rank's counts.
        ranks: if given, the trajectories of all ranks are fit together.

    Raises:
        UserError: fewer trajectories than components.

    Source: Thesis Eq. 4.14-4.19 (with s_t^i in 4.17 and 4.18); Alg. 9 lines 4 and 5. Priors:
    Fraley and Raftery, Bayesian Regularization for Normal Mixture Estimation, 2007.
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
        if best is None or fitted.objective > best.objective:
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
    """EM from given responsibilities, until the objective rises by less than the tolerance.

    A component without half a trajectory starts again from the one that is explained worst, at
    most as many times as there are components; the objective may fall there, and only there.
    """
    statistics, length = summarize(states, config.covariance), states.shape[1]
    mixture = m_step(statistics, responsibilities, config, ranks)
    history: list[float] = []
    reseeded, iteration, likelihood, prior = 0, 0, -math.inf, 0.0
    for iteration in range(1, config.iterations + 1):
        noise = config.regularization
        joint = trajectory_log_likelihood(statistics, mixture, noise).add_(mixture.log_weights)
        evidence = joint.logsumexp(-1)
        totals = sum_of(torch.stack([evidence.sum(), evidence.new_tensor(len(evidence))]), ranks)
        likelihood = float(totals[0] / totals[1])
        prior = log_prior(mixture, config, length) / float(totals[1])
        history.append((likelihood + prior) / length)
        responsibilities = joint.sub_(evidence[:, None]).exp_()
        empty = _find_empty(responsibilities, ranks)
        if bool(empty.any()) and reseeded < config.components:
            reseeded += int(empty.sum())
            responsibilities = _revive(responsibilities, empty, evidence, ranks)
            history = []
        elif len(history) > 1 and history[-1] - history[-2] <= config.tolerance * abs(history[-2]):
            break
        if iteration < config.iterations:
            mixture = m_step(statistics, responsibilities, config, ranks)
    objective = (likelihood + prior) / length
    return Fitted(mixture, likelihood, objective, iteration, reseeded, tuple(history))


def log_prior(mixture: Mixture, config: MixtureConfig, length: int) -> float:
    """The log prior of weights and covariances, up to a constant.

    (alpha - 1) sum_z log q(z) - m T / 2 sum_z [log det Sigma_z + v tr Sigma_z^-1].
    """
    covariances, width = mixture.covariances, mixture.means.shape[-1]
    if covariances.ndim == 3:
        lower = torch.linalg.cholesky(covariances)
        log_det = 2 * lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        trace = torch.cholesky_inverse(lower).diagonal(dim1=-2, dim2=-1).sum(-1)
    else:
        each = covariances.expand(-1, width)
        log_det, trace = each.log().sum(-1), each.reciprocal().sum(-1)
    strength = 0.5 * config.prior_trajectories * length
    penalty = strength * (log_det + config.prior_variance * trace).sum()
    # Weights of 0 have no logarithm; without a prior they cost nothing.
    dirichlet = (config.weight_prior - 1) * mixture.log_weights.sum()
    return float((dirichlet if config.weight_prior > 1 else 0.0) - penalty)


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


def trajectory_log_likelihood(
    statistics: Statistics, mixture: Mixture, noise: float = 0.0
) -> Float[Tensor, "n k"]:
    """The sum over t of log f_z(s_t) (see :func:`fit`), out of sums alone.

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
        trace = precision.diagonal(dim1=-2, dim2=-1).sum(-1)
    else:
        quadratic = covariances.reciprocal()
        linear = means * quadratic
        log_det = covariances.log().expand(-1, d).sum(-1)
        trace = quadratic.expand(-1, d).sum(-1)
    constant = log_det + d * math.log(2 * math.pi) + (means * linear).sum(-1) + noise * trace
    natural = torch.cat([constant[:, None], -2 * linear, quadratic], dim=-1)
    return statistics.columns @ (-0.5 * natural).mT


def m_step(
    statistics: Statistics,
    responsibilities: Float[Tensor, "n k"],
    config: MixtureConfig,
    ranks: DistributedContext | None = None,
) -> Mixture:
    """The M-step: MAP weights, means and covariances (Eq. 4.17-4.19 with priors).

    q(z) = (n_z + alpha - 1) / (n + K (alpha - 1))
    mu_z = sum_it r_iz s_t^i / (T n_z)
    Sigma_z = (sum_it r_iz d d' + (T n_z w + m T v) I) / (T n_z + m T),  d = s_t^i - mu_z
    """
    width, length = statistics.width, statistics.columns[0, 0]
    totals = sum_of(responsibilities.mT @ statistics.columns, ranks)
    states = totals[:, :1]
    means = totals[:, 1 : 1 + width] / states.clamp(min=1e-30)
    second = totals[:, 1 + width :]
    pseudo = config.prior_trajectories * length
    share = states + pseudo
    added = states * config.regularization + pseudo * config.prior_variance
    if config.covariance == "full":
        outer = einsum(means, means, "k i, k j -> k i j") * states[..., None]
        scatter = rearrange(second, "k (i j) -> k i j", i=width) - outer
        identity = torch.eye(width, dtype=means.dtype)
        covariances = (scatter + added[..., None] * identity) / share[..., None]
    elif config.covariance == "diagonal":
        covariances = ((second - states * means.square()).clamp(min=0) + added) / share
    else:
        scatter = second - states * means.square().sum(-1, keepdim=True)
        covariances = (scatter.clamp(min=0) / width + added) / share
    counts = states[:, 0] / length + config.weight_prior - 1
    return Mixture((counts / counts.sum()).log(), means, covariances)


def _find_empty(responsibilities: Float[Tensor, "n k"], ranks: DistributedContext | None) -> Tensor:
    return sum_of(responsibilities.sum(0), ranks) < LEAST_TRAJECTORIES


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

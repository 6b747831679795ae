"""Fitting the mixture of the scaffold: ours against scikit-learn's, on the same states.

    python -m benchmarks.carml.mixture [--rounds 5] [--clock cpu] [--trajectories 1000]

About two minutes. The claim: at least ten times faster, at the same likelihood.

1,000 trajectories of 50 states with 64 numbers each, 16 components, diagonal covariances: the size
of the thesis' reservoir under features of its encoder. scikit-learn knows no trajectories; like
the authors' code, a subclass of its mixture sums the log-likelihoods of a trajectory's states and
gives all of them the same responsibilities. Both start from the same responsibilities, and do
the same 30 iterations, so that the likelihood has to be the same. The other rows are mixtures of
50,000 single states, where ours has nothing to sum up beforehand.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.nn import functional

from benchmarks import timing
from scalable_binding.carml import mixture
from scalable_binding.carml.config import MixtureConfig

T, D, K, ITERATIONS = 50, 64, 16, 30


def make_trajectories(num: int) -> Tensor:
    """Return trajectories (n t d) around 16 centers, each wandering about one of its own."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(K, D, generator=generator, dtype=torch.float64)
    kinds = torch.randint(K, (num,), generator=generator)
    walk = 0.2 * torch.randn(num, T, D, generator=generator, dtype=torch.float64).cumsum(1)
    return centers[kinds][:, None] + walk


def contestants(trajectories: Tensor) -> tuple[dict[str, Callable[[], object]], dict[str, object]]:
    """Return what is timed, by name, and the likelihoods that show that the work is the same."""
    states = trajectories.reshape(-1, 1, D)
    runs: dict[str, Callable[[], object]] = {}
    facts: dict[str, object] = {}
    for name, data in (("trajectories", trajectories), ("single states", states)):
        ours, theirs = pair(data)
        runs |= {f"scikit-learn, {name}": theirs, f"ours, {name}": ours}
        own, other = ours().log_likelihood, theirs().lower_bound_ * data.shape[1]
        facts |= {f"log-likelihood, {name}": f"ours {own:.6f}, scikit-learn {other:.6f}"}
    return runs, facts


def pair(data: Tensor) -> tuple[Callable[[], mixture.Fitted], Callable[[], Grouped]]:
    """Return both fits of trajectories (n t d), from the same start."""
    members = functional.one_hot(torch.arange(len(data)) * K // len(data), K).double()
    config = MixtureConfig(
        components=K,
        iterations=ITERATIONS,
        tolerance=0.0,
        starts=1,
        weight_prior=1.0,  # scikit-learn's fit is one of maximum likelihood
        prior_trajectories=1e-9,
    )
    first = mixture.m_step(mixture.summarize(data, "diagonal"), members, config)
    plain = data.reshape(-1, D).numpy()

    def theirs() -> Grouped:
        fit = Grouped(
            K,
            covariance_type="diag",
            reg_covar=0.0,
            tol=0.0,
            max_iter=ITERATIONS,
            weights_init=first.log_weights.softmax(0).numpy(),
            means_init=first.means.numpy(),
            precisions_init=first.covariances.reciprocal().numpy(),
        )
        fit.length = data.shape[1]
        with warnings.catch_warnings(action="ignore"):
            return fit.fit(plain)

    return lambda: mixture.maximize(data, members, config), theirs


class Grouped(GaussianMixture):
    """scikit-learn's mixture with the same responsibilities for every ``length`` states."""

    length = 1

    def _estimate_log_prob_resp(
        self, states: np.ndarray, **_: object
    ) -> tuple[np.ndarray, np.ndarray]:
        each = self._estimate_log_prob(states).reshape(-1, self.length, self.n_components).sum(1)
        joint = each + self._estimate_log_weights()
        evidence = logsumexp(joint, axis=1)
        shares = joint - evidence[:, None]
        return evidence.repeat(self.length) / self.length, shares.repeat(self.length, axis=0)


def main() -> None:
    """Time all of them in turns, and print a table."""
    parser = timing.parser(__doc__ or "", rounds=5)
    parser.add_argument("--trajectories", type=int, default=1000, help="how many are fit")
    options = parser.parse_args()
    runs, facts = contestants(make_trajectories(options.trajectories))
    seconds = timing.in_turns(runs, options.rounds, clock=options.clock, cold=runs)
    rows = timing.compare(seconds, "scikit-learn, trajectories")
    timing.report(rows, facts | timing.conditions(), options.json)


if __name__ == "__main__":
    main()

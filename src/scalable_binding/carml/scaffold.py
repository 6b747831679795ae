"""The scaffold of tasks: a density of states with one latent task for each trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int64, Shaped
from torch import Generator, Tensor, nn

from scalable_binding.carml import mixture
from scalable_binding.carml.clustering import sum_of
from scalable_binding.carml.mixture import Mixture
from scalable_binding.carml.scaffold_config import ScaffoldConfig
from scalable_binding.engine.distributed import Ranks
from scalable_binding.errors import UserError

DEVIATION_FLOOR = 1e-6


@runtime_checkable
class Scaffold(Protocol):
    """q(s, z), as the rewards and the curriculum see it.

    States are encoded once; likelihoods are those of what :meth:`encode` returns. Tasks are
    rows: numbers of components (e), or vectors (e z).

    Attributes:
        num_tasks: how many tasks there are; None if they are a continuum.
        width: of an encoded state.
    """

    num_tasks: int | None
    width: int

    def fit(
        self,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
        ranks: Ranks | None = None,
    ) -> dict[str, float]:
        """Fit to trajectories (the E-step); figures for the log."""
        ...

    def encode(self, observations: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b d"]:
        """What the density is about."""
        ...

    def log_likelihood(
        self, features: Float[Tensor, "b d"], tasks: Shaped[Tensor, "e *z"]
    ) -> Float[Tensor, "b e"]:
        """The log q(s|z) of every state under every task."""
        ...

    def paired_log_likelihood(
        self, features: Float[Tensor, "e d"], tasks: Shaped[Tensor, "e *z"]
    ) -> Float[Tensor, " e"]:
        """The log q(s|z) of each state under a task of its own."""
        ...

    def marginal(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The log q(s)."""
        ...

    def sample_tasks(self, num: int, generator: Generator) -> Shaped[Tensor, "e *z"]:
        """Tasks drawn from q(z)."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All of it, always in the same shapes."""
        ...

    def load_state_dict(self, state: dict[str, Tensor]) -> object:
        """Take up what ``state_dict`` gave."""
        ...


class MixtureScaffold(nn.Module):
    """A Gaussian mixture over states, standardised, in which a trajectory has one component.

    Args:
        observation: shape (d) of a state.
        config: of the mixture.

    Source: Thesis 4.3.2, Alg. 9; the encoder of states is the identity.
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, observation: Sequence[int], config: ScaffoldConfig) -> None:
        super().__init__()
        self.config = config
        self.num_tasks: int | None = config.mixture.components
        self.width = self._width(observation)
        first = mixture.placeholder(config.mixture, self.width)
        self.register_buffer("log_weights", first.log_weights)
        self.register_buffer("means", first.means)
        self.register_buffer("covariances", first.covariances)
        self.register_buffer("shift", torch.zeros(self.width, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(self.width, dtype=torch.float64))

    @property
    def mixture(self) -> Mixture:
        """The mixture as it is now, over standardised features."""
        return Mixture(self.log_weights, self.means, self.covariances)

    def fit(
        self,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
        ranks: Ranks | None = None,
    ) -> dict[str, float]:
        """Fit the mixture to trajectories; returns figures for the log.

        Raises:
            UserError: fewer trajectories than components, or states that are no finite numbers.
        """
        features = self._learn_features(trajectories, generator, ranks)
        if not bool(torch.isfinite(features).all()):
            raise UserError("states for the scaffold", expected="finite numbers", got="others")
        self._standardise(features, ranks)
        fitted = mixture.fit(self._scaled(features), self.config.mixture, generator, ranks)
        self._take(fitted.mixture)
        shares = fitted.mixture.log_weights.exp()
        entropy = -torch.special.xlogy(shares, shares).sum()
        return {
            "scaffold_likelihood": fitted.log_likelihood / trajectories.shape[1],
            "scaffold_iterations": fitted.iterations,
            "scaffold_components": float(entropy.exp()),
            "scaffold_reseeded": fitted.reseeded,
        }

    def encode(self, observations: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b d"]:
        """The standardised states."""
        return self._scaled(observations)

    def log_likelihood(
        self, features: Float[Tensor, "b d"], tasks: Int64[Tensor, " e"]
    ) -> Float[Tensor, "b e"]:
        """The log q(s|z) of every state under every task."""
        return self.mixture.log_likelihood(features)[:, tasks]

    def paired_log_likelihood(
        self, features: Float[Tensor, "e d"], tasks: Int64[Tensor, " e"]
    ) -> Float[Tensor, " e"]:
        """The log q(s|z) of each state under a task of its own."""
        return self.mixture.log_likelihood(features).gather(-1, tasks[:, None])[:, 0]

    def marginal(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The log q(s)."""
        return self.mixture.marginal(features)

    def sample_tasks(self, num: int, generator: Generator) -> Int64[Tensor, " e"]:
        """Components drawn with their weights q(z)."""
        weights = self.log_weights.exp()
        return torch.multinomial(weights, num, replacement=True, generator=generator)

    def label(self, trajectories: Shaped[Tensor, "n t *obs"]) -> Int64[Tensor, " n"]:
        """The component of each trajectory: argmax_k [log q(k) + sum_t log q(s_t|k)]."""
        features = self.encode(rearrange(trajectories, "n t ... -> (n t) ..."))
        features = rearrange(features, "(n t) d -> n t d", n=len(trajectories))
        return self.mixture.responsibilities(features).argmax(-1)

    def _width(self, observation: Sequence[int]) -> int:
        if len(observation) != 1:
            got = "pixels" if len(observation) == 3 else str(tuple(observation))
            raise UserError("scaffold of states", expected="states (d)", got=got)
        return observation[0]

    def _learn_features(
        self, trajectories: Tensor, generator: Generator, ranks: Ranks | None
    ) -> Float[Tensor, "n t d"]:
        """The features that are standardised and clustered."""
        return trajectories.double()

    def _standardise(self, features: Float[Tensor, "n t d"], ranks: Ranks | None) -> None:
        """Measure features, so that each of a state's numbers counts in units of its own."""
        flat = rearrange(features, "n t d -> (n t) d").double()
        count = sum_of(torch.tensor(float(len(flat)), dtype=torch.float64), ranks)
        mean = sum_of(flat.sum(0), ranks) / count
        variance = sum_of((flat - mean).square().sum(0), ranks) / count
        self.shift.copy_(mean)
        self.scale.copy_(variance.sqrt().clamp(min=DEVIATION_FLOOR))

    def _scaled(self, features: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return (features.double() - self.shift) / self.scale

    def _take(self, fitted: Mixture) -> None:
        self.log_weights.copy_(fitted.log_weights)
        self.means.copy_(fitted.means)
        self.covariances.copy_(fitted.covariances)


def build_scaffold(observation: Sequence[int], config: ScaffoldConfig) -> Scaffold:
    """The scaffold that a configuration describes, not yet fit.

    Raises:
        UserError: a kind that cannot model such observations.
    """
    return MixtureScaffold(observation, config)

"""The scaffold of tasks: a density of states with one latent task for each trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Float, Int64, Shaped
from torch import Generator, Tensor, nn

from scalable_binding.carml import deep_clusters, mixture
from scalable_binding.carml.clustering import sum_of, units_of
from scalable_binding.carml.config import ScaffoldConfig
from scalable_binding.carml.deep_clusters import PixelEncoder
from scalable_binding.carml.mixture import Mixture
from scalable_binding.carml.vae import VAEScaffold
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.errors import UserError


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
        ranks: DistributedContext | None = None,
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
    """A Gaussian mixture over standardized features, in which a trajectory has one component.

    States are their own features; those of pixels are learned by clustering, going on from the
    last fit.

    Args:
        observation: shape of an observation, (d) of a state or (3 h w) of pixels.
        config: of the mixture and the encoder.

    Raises:
        UserError: observations that are neither.

    Source: Thesis 4.3.2, Alg. 9 and 10.
    """

    fits: Tensor
    log_weights: Tensor
    means: Tensor
    covariances: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, observation: Sequence[int], config: ScaffoldConfig) -> None:
        super().__init__()
        self.config = config
        self.num_tasks: int | None = config.mixture.components
        self.encoder: PixelEncoder | None = None
        self.width = self._build_encoder(observation)
        first = mixture.placeholder(config.mixture, self.width)
        self.register_buffer("fits", torch.zeros((), dtype=torch.int64))
        self.register_buffer("log_weights", first.log_weights)
        self.register_buffer("means", first.means)
        self.register_buffer("covariances", first.covariances)
        self.register_buffer("shift", torch.zeros(self.width, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(self.width, dtype=torch.float64))

    @property
    def mixture(self) -> Mixture:
        """The mixture as it is now, over standardized features."""
        return Mixture(self.log_weights, self.means, self.covariances)

    def fit(
        self,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
        ranks: DistributedContext | None = None,
    ) -> dict[str, float]:
        """Fit the mixture to trajectories; returns figures for the log.

        Raises:
            UserError: fewer trajectories than components, or states that are no finite numbers.
        """
        features, figures = self._learn_features(trajectories, generator, ranks)
        if not bool(torch.isfinite(features).all()):
            raise UserError("states for the scaffold", expected="finite numbers", got="others")
        self._standardize(features, ranks)
        fitted = mixture.fit(self._scaled(features), self.config.mixture, generator, ranks)
        self._take(fitted.mixture)
        self.fits += 1
        shares = fitted.mixture.log_weights.exp()
        entropy = -torch.special.xlogy(shares, shares).sum()
        return figures | {
            "scaffold_likelihood": fitted.log_likelihood / features.shape[1],
            "scaffold_objective": fitted.objective,
            "scaffold_iterations": float(fitted.iterations),
            "scaffold_components": float(entropy.exp()),
            "scaffold_reseeded": float(fitted.reseeded),
        }

    def encode(self, observations: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b d"]:
        """The standardized features."""
        if self.encoder is None:
            return self._scaled(observations)
        return self._scaled(deep_clusters.encode(self.encoder, observations))

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

    def _build_encoder(self, observation: Sequence[int]) -> int:
        """Make the encoder that observations need, and return the width of their features."""
        if len(observation) not in (1, 3):
            got = str(tuple(observation))
            raise UserError("observations", expected="states (d) or pixels (3 h w)", got=got)
        if len(observation) == 1:
            return observation[0]
        self.encoder = PixelEncoder(self.config.deep_clusters)
        return self.encoder.width

    def _learn_features(
        self, trajectories: Tensor, generator: Generator, ranks: DistributedContext | None
    ) -> tuple[Float[Tensor, "n t d"], dict[str, float]]:
        """The features that are standardized and clustered; figures for the log."""
        if self.encoder is None:
            return trajectories.double(), {}
        config = self.config.deep_clusters
        if self.fits == 0:
            deep_clusters.init_weights(self.encoder, generator, ranks)
        seen = deep_clusters.spread(trajectories, config.states)
        components = self.config.mixture.components
        learned = deep_clusters.learn(self.encoder, seen, components, config, generator, ranks)
        flat = rearrange(seen, "n t c h w -> (n t) c h w")
        features = deep_clusters.encode(self.encoder, flat).double()
        figures = {"clusters_loss": learned.loss, "clusters_accuracy": learned.accuracy}
        figures = figures if config.rounds else {}
        return rearrange(features, "(n t) d -> n t d", n=len(seen)), figures

    def _standardize(
        self, features: Float[Tensor, "n t d"], ranks: DistributedContext | None
    ) -> None:
        """Measure features, so that each of a state's numbers counts in units of its own."""
        flat = rearrange(features, "n t d -> (n t) d").double()
        count = sum_of(torch.tensor(float(len(flat)), dtype=torch.float64), ranks)
        mean = sum_of(flat.sum(0), ranks) / count
        variance = sum_of((flat - mean).square().sum(0), ranks) / count
        self.shift.copy_(mean)
        self.scale.copy_(units_of(variance))

    def _scaled(self, features: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        return (features.double() - self.shift) / self.scale

    def _take(self, fitted: Mixture) -> None:
        self.log_weights.copy_(fitted.log_weights)
        self.means.copy_(fitted.means)
        self.covariances.copy_(fitted.covariances)


def build_scaffold(
    observation: Sequence[int], config: ScaffoldConfig, length: int | None = None
) -> Scaffold:
    """The scaffold that a configuration describes, not yet fit.

    Args:
        observation: shape of an observation.
        config: its kind, and the settings of that kind.
        length: of a trajectory, which a VAE needs to know.

    Raises:
        UserError: a kind that cannot model such observations.
    """
    if config.kind == "vae":
        assert length is not None
        return VAEScaffold(observation, length, config.vae)
    return MixtureScaffold(observation, config)

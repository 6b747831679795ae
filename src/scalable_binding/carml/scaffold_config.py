"""Settings of what makes tasks: the scaffold (E-step) and the rewards. Torch is not imported."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from scalable_binding.errors import require, require_least, require_one_of

Covariance = Literal["full", "diagonal", "spherical"]


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """A Gaussian mixture with one component for all states of a trajectory.

    Args:
        components: how many tasks there are to be (K).
        covariance: "full", "diagonal" or "spherical".
        starts: fits from as many clusterings; the likeliest one counts.
        iterations: of expectation-maximization at most.
        tolerance: it ends when the mean log-likelihood of a trajectory rises by less.
        regularization: added to variances.
        cluster_starts, cluster_iterations: of each k-means.

    Source: the authors' code ("full" in its early runs, "spherical" in later ones).
    """

    components: int = 16
    covariance: Covariance = "diagonal"
    starts: int = 3
    iterations: int = 100
    tolerance: float = 0.01
    regularization: float = 1e-4
    cluster_starts: int = 3
    cluster_iterations: int = 50

    def __post_init__(self) -> None:
        require_one_of("covariance", self.covariance, ("full", "diagonal", "spherical"))
        for name in ("components", "starts", "iterations", "cluster_starts", "cluster_iterations"):
            value = getattr(self, name)
            require_least(name, value, 1)
        require("tolerance", self.tolerance, self.tolerance >= 0, "at least 0")
        value = self.regularization
        require("regularization", value, 0 < value < math.inf, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class DeepClusterConfig:
    """The encoder of pixels, learned by clustering and telling the clusters apart in turns.

    Args:
        encoder: "resnet10", the thesis' with 64 filters everywhere, or "small", four convolutions
            for one CPU core.
        width: filters of each convolution.
        rounds: of clustering and of learning the clusters. 0: the encoder stays random.
        epochs: passes over the states of the trajectories in each round.
        max_batches: of a round at most, so that its time does not grow with the reservoir.
        batch_size: images in a gradient step.
        lr, momentum, weight_decay: of stochastic gradient descent.
        components: principal ones that are kept, whitened, for clustering; 0 clusters the
            features as they are.
        states: of each trajectory that are looked at, evenly apart; none: all.
        shift: images are shifted by up to as many pixels while clusters are learned.

    Source: Thesis 4.7.2; Caron et al., DeepCluster, 2018.
    """

    encoder: Literal["resnet10", "small"] = "resnet10"
    width: int = 64
    rounds: int = 4
    epochs: int = 1
    max_batches: int | None = None
    batch_size: int = 256
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-5
    components: int = 256
    states: int | None = None
    shift: int = 4

    def __post_init__(self) -> None:
        kinds = ("resnet10", "small")
        require("encoder", self.encoder, self.encoder in kinds, " or ".join(kinds))
        for name in ("width", "epochs", "batch_size"):
            value = getattr(self, name)
            require_least(name, value, 1)
        for name in ("rounds", "components", "shift", "weight_decay"):
            require(name, getattr(self, name), getattr(self, name) >= 0, "at least 0")
        require("lr", self.lr, 0 < self.lr < math.inf, "a number above 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "a number in [0, 1)")
        for name in ("max_batches", "states"):
            limit = getattr(self, name)
            require(name, limit, limit is None or limit >= 1, "at least 1, or none")


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    """A variational auto-encoder of trajectories with a continuous task z.

    Args:
        width: of z.
        hidden: units of the two layers of encoder and decoder.
        deviation: of a reconstructed state, in units of the states' own deviation. Narrow ones pay
            nothing away from what was seen, and agents that start near it stay there.
        epochs: passes over the trajectories in each E-step.
        batch_size: trajectories in a gradient step.
        lr: of Adam.

    Source: Thesis 4.7.3, which gives none of these numbers.
    """

    width: int = 8
    hidden: int = 128
    deviation: float = 0.5
    epochs: int = 60
    batch_size: int = 64
    lr: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "epochs", "batch_size"):
            value = getattr(self, name)
            require_least(name, value, 1)
        for name in ("deviation", "lr"):
            value = getattr(self, name)
            require(name, value, 0 < value < math.inf, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class ScaffoldConfig:
    """What tasks are made of.

    Args:
        kind: "mixture" (16 tasks by default) or "vae" (a continuum of tasks, for states only).
        mixture: of states as they are, or of the features of pixels.
        deep_clusters: how the features of pixels are learned.
        vae: of states.
    """

    kind: Literal["mixture", "vae"] = "mixture"
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    deep_clusters: DeepClusterConfig = field(default_factory=DeepClusterConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)

    def __post_init__(self) -> None:
        kinds = ("mixture", "vae")
        require("kind", self.kind, self.kind in kinds, " or ".join(kinds))


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """How a task rewards a state.

    Args:
        weight: lambda, of log q(s|z) beside - log q(s); less of it explores more.
        window: states over which rewards are averaged; 1 for none.
        whitening: "reservoir" measures each task on the trajectories that it was made from, anew
            after each E-step; "running" measures what the agent meets, task by task, as the
            thesis does.
    """

    weight: float = 0.99
    window: int = 10
    whitening: Literal["reservoir", "running"] = "reservoir"

    def __post_init__(self) -> None:
        require("weight (lambda)", self.weight, 0 <= self.weight <= 1, "a number in [0, 1]")
        require_least("window", self.window, 1)
        kinds = ("reservoir", "running")
        require("whitening", self.whitening, self.whitening in kinds, " or ".join(kinds))

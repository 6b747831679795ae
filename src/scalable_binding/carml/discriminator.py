"""Tasks by discrimination alone: a classifier says which task a state belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int64, Shaped
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.carml import deep_clusters, mixture
from scalable_binding.carml.clustering import first_of, mean_of, units_of
from scalable_binding.carml.config import (
    CARMLConfig,
    DeepClusterConfig,
    DiscriminatorConfig,
    MixtureConfig,
)
from scalable_binding.carml.deep_clusters import PixelEncoder
from scalable_binding.carml.mixture import Mixture
from scalable_binding.carml.reward import ScaffoldReward, build_whitening
from scalable_binding.carml.rollout import Reservoir, Reward, Trials
from scalable_binding.carml.scaffold import MixtureScaffold
from scalable_binding.carml.task_rewards import kept_trajectories
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.state_dicts import init_adam_state
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.errors import UserError


class Discriminator(nn.Module):
    """q(z|s) = softmax(f(s) / temperature) with tasks drawn uniformly, p(z) = 1 / K.

    As a scaffold it stands for q(s|z) / q(s) = q(z|s) / p(z): with :func:`reward.combine` a task
    pays lambda (log q(z|s) - log p(z)) + (lambda - 1) log q(s), which is (4.33); DIAYN's reward at
    lambda = 1, where no density is needed. For any other lambda :meth:`fit_density` fits q(s), a
    Gaussian mixture over the features.

    Args:
        observation: shape of an observation.
        num_tasks: K.
        config: temperature and size.
        encoder: of pixels.
        density: settings of the mixture q(s); None where lambda is 1.

    Source: Thesis 4.7.1 and 4.7.5; Eysenbach et al., Diversity is All You Need, 2019.
    """

    shift: Tensor
    scale: Tensor
    log_weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(
        self,
        observation: Sequence[int],
        num_tasks: int,
        config: DiscriminatorConfig,
        encoder: DeepClusterConfig,
        density: MixtureConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_tasks: int | None = num_tasks
        self.encoder = PixelEncoder(encoder) if len(observation) == 3 else None
        self.width = self.encoder.width if self.encoder else observation[0]
        with torch.random.fork_rng(devices=[]):  # weights are drawn by init_weights
            self.head = nn.Sequential(
                nn.Linear(self.width, config.hidden),
                nn.ReLU(),
                nn.Linear(config.hidden, config.hidden),
                nn.ReLU(),
                nn.Linear(config.hidden, num_tasks),
            )
        self.register_buffer("shift", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))
        self.density = density
        if density is not None:
            first = mixture.placeholder(density, self.width)
            self.register_buffer("log_weights", first.log_weights)
            self.register_buffer("means", first.means)
            self.register_buffer("covariances", first.covariances)

    def init_weights(
        self,
        observations: Shaped[Tensor, "b *obs"],
        generator: Generator,
        ranks: DistributedContext | None,
    ) -> None:
        """Draw all weights, and measure features so that they come in units of their own."""
        if self.encoder is not None:
            deep_clusters.init_weights(self.encoder, generator, ranks)
        for module in self.head.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, math.sqrt(5), generator=generator)
                nn.init.zeros_(module.bias)
                module.weight.data.copy_(first_of(module.weight.data, ranks))
        self.measure(observations, ranks)

    @torch.no_grad()
    def measure(
        self, observations: Shaped[Tensor, "b *obs"], ranks: DistributedContext | None
    ) -> None:
        """Take features' mean and deviation for units."""
        features = self._features(observations)
        self.shift.copy_(mean_of(features.mean(0), ranks))
        self.scale.copy_(units_of(mean_of((features - self.shift).square().mean(0), ranks)))

    def learn(
        self,
        observations: Shaped[Tensor, "b *obs"],
        tasks: Int64[Tensor, " b"],
        optimizer: torch.optim.Optimizer,
        steps: int,
        generator: Generator,
        ranks: DistributedContext | None,
    ) -> dict[str, float]:
        """Gradient steps of cross-entropy on states and the tasks of their trajectories (4.32)."""
        self.train()
        loss = accuracy = torch.zeros(())
        for _ in range(steps):
            chosen = torch.randint(len(tasks), (self.config.batch_size,), generator=generator)
            logits, loss = self.classify(observations[chosen], tasks[chosen])
            optimizer.zero_grad()
            loss.backward()
            for parameter in self.parameters():
                assert parameter.grad is not None
                parameter.grad.copy_(mean_of(parameter.grad, ranks))
            optimizer.step()
            accuracy = (logits.argmax(-1) == tasks[chosen]).float().mean()
        if self.encoder is not None:
            deep_clusters.share_statistics(self.encoder, ranks)
        self.eval()
        return {
            "discriminator_loss": float(loss.detach()),
            "discriminator_accuracy": float(accuracy),
        }

    def classify(
        self, observations: Shaped[Tensor, "b *obs"], tasks: Int64[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, ""]]:
        """Logits of every task, and the cross-entropy of the true ones."""
        logits = self._logits(self._scaled(self._features(observations)))
        return logits, functional.cross_entropy(logits, tasks)

    def encode(self, observations: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b d"]:
        """The features of observations, in units of their own."""
        with torch.no_grad():
            return self._scaled(self._features(observations))

    @torch.no_grad()
    def log_likelihood(
        self, features: Float[Tensor, "b d"], tasks: Int64[Tensor, " e"]
    ) -> Float[Tensor, "b e"]:
        """The log q(s|z) = log q(z|s) - log p(z) + log q(s) of every state under every task."""
        assert self.num_tasks is not None
        log_probs = self._logits(features.float()).log_softmax(-1)
        ratios = log_probs[:, tasks] + math.log(self.num_tasks)
        return ratios if self.density is None else ratios + self.marginal(features)[:, None]

    def paired_log_likelihood(
        self, features: Float[Tensor, "e d"], tasks: Int64[Tensor, " e"]
    ) -> Float[Tensor, " e"]:
        """The log q(s|z) of each state under a task of its own."""
        assert self.num_tasks is not None
        every = self.log_likelihood(features, torch.arange(self.num_tasks))
        return every.gather(-1, tasks[:, None])[:, 0]

    def marginal(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The log q(s); zeros without a density, which lambda = 1 does not need."""
        if self.density is None:
            return torch.zeros(len(features))
        fitted = Mixture(self.log_weights, self.means, self.covariances)
        return fitted.marginal(features).float()

    def fit_density(
        self,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
        ranks: DistributedContext | None,
    ) -> dict[str, float]:
        """Fit q(s) to the features of trajectories, where there is to be one."""
        if self.density is None:
            return {}
        features = self.encode(rearrange(trajectories, "n t ... -> (n t) ..."))
        grouped = rearrange(features, "(n t) d -> n t d", n=len(trajectories))
        fitted = mixture.fit(grouped, self.density, generator, ranks)
        self.log_weights.copy_(fitted.mixture.log_weights)
        self.means.copy_(fitted.mixture.means)
        self.covariances.copy_(fitted.mixture.covariances)
        return {"density_objective": fitted.objective}

    def sample_tasks(self, num: int, generator: Generator) -> Int64[Tensor, " e"]:
        """Tasks of the uniform p(z)."""
        assert self.num_tasks is not None
        return torch.randint(self.num_tasks, (num,), generator=generator)

    def fit(
        self,
        trajectories: Shaped[Tensor, "n t *obs"],
        generator: Generator,
        ranks: DistributedContext | None = None,
    ) -> dict[str, float]:
        """Nothing is fit to trajectories without tasks: :meth:`learn` needs both."""
        return {}

    def _features(self, observations: Tensor) -> Float[Tensor, "b d"]:
        if self.encoder is None:
            return observations.float()
        # Only the encoder of pixels is worth a device of its own.
        return self.encoder(observations.to(self.encoder.device)).cpu()

    def _scaled(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return (features - self.shift) / self.scale

    def _logits(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        return self.head(features) / self.config.temperature


def density_config(config: CARMLConfig) -> MixtureConfig | None:
    """Settings of a discriminator's density of states; None at lambda = 1."""
    return None if config.reward.weight == 1 else config.scaffold.mixture


class DiscriminatorSource:
    """Tasks of a discriminator that learns from each update's adapted episodes.

    Whitening is measured anew after each update, since the rewards change with the classifier.
    The pre-trained one first fits a mixture to the fresh policy's trajectories, takes over its
    features, and learns the mixture's labels.

    Args:
        config: of the whole run.
        env: whose states are told apart.
        ranks: of the run.

    Source: Thesis 4.5.1, variants 5 and 6; 4.7.5.
    """

    def __init__(self, config: CARMLConfig, env: BatchEnv, ranks: DistributedContext) -> None:
        if config.scaffold.kind != "mixture":
            expected = "mixture, with a method that discriminates"
            raise UserError("scaffold.kind", expected=expected, got=config.scaffold.kind)
        self.config, self.ranks = config, ranks
        shape = env.observation_space.shape
        dtype = torch.uint8 if len(shape) == 3 else torch.float32
        capacity = -(-config.curriculum.reservoir // ranks.size)
        self.reservoir = Reservoir(capacity, env.episode_length, shape, dtype)
        deep = config.scaffold.deep_clusters
        num_tasks = config.scaffold.mixture.components
        self.scaffold = Discriminator(
            shape, num_tasks, config.discriminator, deep, density_config(config)
        )
        if self.scaffold.encoder is not None:
            self.scaffold.encoder.to(ranks.device)
        self.optimizer = torch.optim.Adam(self.scaffold.parameters(), config.discriminator.lr)
        self.whitening = build_whitening(config.task_reward, self.scaffold)
        self._adam = init_adam_state(self.optimizer)
        self._rounds = torch.zeros((), dtype=torch.int64)

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Draw the classifier's weights, or pre-train it, before the first update only."""
        self._rounds += 1
        trajectories = self.reservoir.trajectories
        if self._rounds > 1:
            return self.scaffold.fit_density(trajectories, generator, self.ranks)
        states = rearrange(trajectories, "n t ... -> (n t) ...")
        sample = states[torch.randint(len(states), (2048,), generator=generator)]
        self.scaffold.init_weights(sample, generator, self.ranks)
        figures = {}
        if self.config.method == "pretrained-discriminator":
            figures = self._pretrain(trajectories, sample, generator)
        self.scaffold.eval()
        figures |= self.scaffold.fit_density(trajectories, generator, self.ranks)
        self.whitening.measure(self.scaffold, trajectories, generator)
        return figures

    def sample(self, num: int, generator: Generator) -> ScaffoldReward:
        """The rewards of tasks z ~ p(z)."""
        tasks = self.scaffold.sample_tasks(num, generator)
        return ScaffoldReward(self.scaffold, tasks, self.config.task_reward, self.whitening)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Learn to tell the tasks of the trials' last episodes apart; measure rewards anew."""
        kept = kept_trajectories(trials, reward, self.config)
        self.reservoir.add(rearrange(kept, "e n t ... -> (e n) t ..."), generator)
        if not isinstance(reward, ScaffoldReward):
            return {}
        states = rearrange(kept, "e n t ... -> (e n t) ...")
        tasks = repeat(reward.tasks, "e -> (e s)", s=len(states) // len(kept))
        figures = self._learn(states, tasks, self.config.discriminator.steps, generator)
        if self.config.task_reward.whitening == "reservoir":
            self.whitening.measure(self.scaffold, self.reservoir.trajectories, generator)
        return figures

    def state_dict(self) -> dict[str, Tensor]:
        """Reservoir, classifier, its optimizer, whitening."""
        parts = {
            "reservoir": self.reservoir.state_dict(),
            "scaffold": self.scaffold.state_dict(),
            "whitening": self.whitening.state_dict(),
            "adam": self._adam,
        }
        return state_dicts.join(parts) | {"rounds": self._rounds}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self._rounds.copy_(state["rounds"])
        for name in ("reservoir", "scaffold", "whitening"):
            getattr(self, name).load_state_dict(state_dicts.part(state, name))
        for name, tensor in self._adam.items():
            tensor.copy_(state[f"adam.{name}"])

    def _learn(
        self, states: Tensor, tasks: Tensor, steps: int, generator: Generator
    ) -> dict[str, float]:
        return self.scaffold.learn(states, tasks, self.optimizer, steps, generator, self.ranks)

    def _pretrain(
        self, trajectories: Tensor, sample: Tensor, generator: Generator
    ) -> dict[str, float]:
        shape = trajectories.shape[2:]
        mixture = MixtureScaffold(shape, self.config.scaffold)
        if mixture.encoder is not None:
            mixture.encoder.to(self.ranks.device)
        figures = mixture.fit(trajectories, generator, self.ranks)
        if self.scaffold.encoder is not None:
            assert mixture.encoder is not None
            self.scaffold.encoder.load_state_dict(mixture.encoder.state_dict())
            self.scaffold.eval()
            self.scaffold.measure(sample, self.ranks)
        labels = repeat(mixture.label(trajectories), "n -> (n t)", t=trajectories.shape[1])
        states = rearrange(trajectories, "n t ... -> (n t) ...")
        steps = self.config.discriminator.first_steps
        return figures | self._learn(states, labels, steps, generator)

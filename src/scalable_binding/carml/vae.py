"""A scaffold with a continuum of tasks: a variational auto-encoder of trajectories of states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.carml.clustering import first_of, mean_of, units_of
from scalable_binding.carml.config import VAEConfig
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.errors import UserError

NUM_SAMPLES = 8
VARIANCE_FLOOR = 1e-4


class Posterior(NamedTuple):
    """q(z | .): mean and variance."""

    mean: Float[Tensor, "b z"]
    variance: Float[Tensor, "b z"]

    def divergence(self) -> Float[Tensor, " b"]:
        """KL(q(z | .) || N(0, I))."""
        terms = self.variance + self.mean.square() - 1 - self.variance.log()
        return 0.5 * terms.sum(-1)

    def sample(self, noise: Float[Tensor, "*n m z"]) -> Float[Tensor, "*n b z"]:
        """Latents for given standard normal noise, as many or one for all."""
        return self.mean + self.variance.sqrt() * noise


class VAEScaffold(nn.Module):
    """p(z) = N(0, I), p(t) = 1 / T, q(s | z, t) = N(decoder(z, t), deviation^2 I).

    The recognition network looks at single states; in training a trajectory has the mean of its
    states' posterior means and of their variances, from two heads,

        mu = 1/T sum_t mean(s_t),  sigma^2 = 1/T sum_t variance(s_t),
        ELBO(tau) = E_z sum_t log q(s_t | z, t) - KL(q(z | tau) || p(z)).

    A task rewards with

        log q(s|z) = log sum_t q(s | z, t) - log T                      (4.38)
        log q(s) ~ E_{z ~ q(z|s)} log q(s|z) - KL(q(z|s) || p(z))       (4.36)

    where the expectation is over the same few noises every time.

    Args:
        observation: shape (d) of a state.
        length: T, states in a trajectory.
        config: sizes and training.

    Raises:
        UserError: observations that are no states.

    Source: Thesis 4.7.3.
    """

    shift: Tensor
    scale: Tensor
    noises: Tensor

    def __init__(self, observation: Sequence[int], length: int, config: VAEConfig) -> None:
        super().__init__()
        if len(observation) != 1:
            got = f"observations {tuple(observation)}"
            raise UserError("scaffold.kind vae", expected="states (d)", got=got, fix="use mixture")
        self.config, self.length = config, length
        self.num_tasks: int | None = None
        self.width = observation[0]
        with torch.random.fork_rng(devices=[]):  # weights are drawn in the first fit
            self.encoder = _perceptron(self.width, config.hidden, 2 * config.width)
            self.decoder = _perceptron(config.width + length, config.hidden, self.width)
        self.register_buffer("shift", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))
        self.register_buffer("noises", torch.zeros(NUM_SAMPLES, 1, config.width))

    def fit(
        self,
        trajectories: Float[Tensor, "n t d"],
        generator: Generator,
        ranks: DistributedContext | None = None,
    ) -> dict[str, float]:
        """Draw weights and train them on trajectories; returns figures for the log."""
        if len(trajectories) == 0 or not bool(torch.isfinite(trajectories).all()):
            got = f"{len(trajectories)} trajectories, or some not finite"
            raise UserError("states for the scaffold", expected="finite numbers", got=got)
        self._start(trajectories, generator, ranks)
        states = (trajectories - self.shift) / self.scale
        optimizer = torch.optim.Adam(self.parameters(), self.config.lr)
        size = self.config.batch_size
        count = self.config.epochs * -(-len(states) // size)
        loss = torch.zeros(())
        for _ in range(int(first_of(torch.tensor(count), ranks))):
            chosen = torch.randint(len(states), (size,), generator=generator)
            noise = torch.randn(size, self.config.width, generator=generator)
            loss = -self.evidence(states[chosen], noise).mean() / self.length
            optimizer.zero_grad()
            loss.backward()
            for parameter in self.parameters():
                assert parameter.grad is not None
                parameter.grad.copy_(mean_of(parameter.grad, ranks))
            optimizer.step()
        return {"scaffold_likelihood": -float(loss.detach())}

    def evidence(
        self, states: Float[Tensor, "n t d"], noise: Float[Tensor, "n z"]
    ) -> Float[Tensor, " n"]:
        """The ELBO of whole, standardized trajectories, for one noise each."""
        posterior = self.recognize(states)
        found = self._decode(posterior.sample(noise))
        return self._log_normal(states - found).sum(-1) - posterior.divergence()

    def recognize(self, states: Float[Tensor, "n t d"]) -> Posterior:
        """q(z | tau) of standardized trajectories; of single states if t is 1."""
        mean, raw = self.encoder(states).chunk(2, dim=-1)
        variance = functional.softplus(raw) + VARIANCE_FLOOR
        return Posterior(*(reduce(x, "n t z -> n z", "mean") for x in (mean, variance)))

    @torch.no_grad()
    def decode(self, tasks: Float[Tensor, "e z"]) -> Float[Tensor, "e t d"]:
        """The mean trajectories of tasks, in the units of the states."""
        return self._decode(tasks) * self.scale + self.shift

    @torch.no_grad()
    def reconstruct(self, trajectories: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """The mean trajectory of each trajectory's own task (Fig. 4.4)."""
        return self.decode(self.recognize((trajectories - self.shift) / self.scale).mean)

    def encode(self, observations: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """The standardized states."""
        return (observations - self.shift) / self.scale

    @torch.no_grad()
    def log_likelihood(
        self, features: Float[Tensor, "b d"], tasks: Float[Tensor, "e z"]
    ) -> Float[Tensor, "b e"]:
        """The log q(s|z) of every state under every task (4.38)."""
        found = self._decode(tasks)
        log_probs = self._log_normal(features.float()[:, None, None] - found)
        return log_probs.logsumexp(-1) - math.log(self.length)

    @torch.no_grad()
    def paired_log_likelihood(
        self, features: Float[Tensor, "e d"], tasks: Float[Tensor, "e z"]
    ) -> Float[Tensor, " e"]:
        """The log q(s|z) of each state under a task of its own."""
        log_probs = self._log_normal(features.float()[:, None] - self._decode(tasks))
        return log_probs.logsumexp(-1) - math.log(self.length)

    @torch.no_grad()
    def marginal(self, features: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """The lower bound of log q(s)."""
        features = features.float()
        posterior = self.recognize(features[:, None])
        latents = posterior.sample(self.noises)
        pairs = repeat(features, "b d -> (n b) d", n=len(latents))
        each = self.paired_log_likelihood(pairs, rearrange(latents, "n b z -> (n b) z"))
        return each.view(len(latents), -1).mean(0) - posterior.divergence()

    def sample_tasks(self, num: int, generator: Generator) -> Float[Tensor, "e z"]:
        """Latents of p(z)."""
        return torch.randn(num, self.config.width, generator=generator)

    def _decode(self, tasks: Float[Tensor, "e z"]) -> Float[Tensor, "e t d"]:
        moments = repeat(torch.eye(self.length), "t u -> e t u", e=len(tasks))
        latents = repeat(tasks.float(), "e z -> e t z", t=self.length)
        return self.decoder(torch.cat([latents, moments], dim=-1))

    def _log_normal(self, errors: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
        deviation = self.config.deviation
        constant = self.width * (math.log(deviation) + 0.5 * math.log(2 * math.pi))
        return -0.5 * (errors / deviation).square().sum(-1) - constant

    def _start(
        self, trajectories: Tensor, generator: Generator, ranks: DistributedContext | None
    ) -> None:
        """Units, noises and weights anew: what an old fit says of new data does not matter."""
        flat = rearrange(trajectories, "n t d -> (n t) d")
        mean = mean_of(flat.mean(0), ranks)
        self.shift.copy_(mean)
        variance = mean_of((flat - mean).square().mean(0), ranks)
        self.scale.copy_(units_of(variance))
        noises = torch.randn(self.noises.shape, generator=generator)
        self.noises.copy_(first_of(noises, ranks))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)
                module.weight.data.copy_(first_of(module.weight.data, ranks))


def _perceptron(width_in: int, hidden: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, width),
    )

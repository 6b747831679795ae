"""Random network distillation (RND): rewards for new states, without any task."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, Shaped
from torch import Generator, Tensor, nn

from scalable_binding.carml.clustering import first_of, mean_of
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.state_dicts import init_adam_state
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.nn.running_mean_std import RunningMeanStd

LIMIT = 5.0
DEVIATION_FLOOR = 1e-3
HIDDEN = 128
SMALLEST = 52
"""Pixels on a side that three convolutions of strides 4, 2 and 1 need."""


class Distillation(nn.Module):
    """NoveltySource of a state: the squared error of a network that learns what a random one says.

    Pixels go in as one gray frame, states as they are; both whitened and clipped to [-5, 5].

    Args:
        observation: shape of an observation.
        width: of what the random network says.

    Source: Burda et al., Exploration by Random Network Distillation, 2019, whose convolutions
    (32 of 8x8 stride 4, 64 of 4x4 stride 2, 64 of 3x3) are for 84 pixels; images below 52 have
    the first stride halved and smaller kernels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, observation: Sequence[int], width: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # weights are drawn by init_weights
            self.target = build_network(observation, width, deep=False)
            self.predictor = build_network(observation, width, deep=True)
        self.target.requires_grad_(False)
        seen = (1, *observation[1:]) if len(observation) == 3 else tuple(observation)
        self.register_buffer("mean", torch.zeros(seen))
        self.register_buffer("deviation", torch.ones(seen))

    def init_weights(
        self,
        states: Shaped[Tensor, "b *obs"],
        generator: Generator,
        ranks: DistributedContext | None,
    ) -> None:
        """Draw both networks, and measure states of a random policy for whitening."""
        init_orthogonal(self, generator, ranks)
        measure_moments(_gray(states), self.mean, self.deviation, ranks)

    def forward(self, states: Shaped[Tensor, "b *obs"]) -> Float[Tensor, " b"]:
        """The novelty of states."""
        white = ((_gray(states) - self.mean) / self.deviation).clamp(-LIMIT, LIMIT)
        return (self.predictor(white) - self.target(white)).square().mean(-1)


class NoveltyReward:
    """NoveltySource in units of the deviation of all novelty so far."""

    def __init__(self, network: Distillation, stats: RunningMeanStd) -> None:
        self.network, self.stats = network, stats

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """Nothing: novelty does not end with an episode."""

    @torch.no_grad()
    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """How new the states are."""
        found = self.network(step.observation)
        self.stats.update(found)
        # Scaled but not shifted: novelty is never a punishment.
        return found / max(float(self.stats.std), 1e-8)


class NoveltySource:
    """A source that pays for novelty, as pre-training for fine-tuning on a task.

    Args:
        config: of the whole run.
        env: whose states are new or not.
        ranks: of the run.

    Source: Thesis 4.5.1, baseline 2.
    """

    def __init__(self, config: CARMLConfig, env: BatchEnv, ranks: DistributedContext) -> None:
        self.config, self.ranks = config, ranks
        self.network = Distillation(env.observation_space.shape, config.rnd.width)
        self.optimizer = torch.optim.Adam(self.network.predictor.parameters(), config.rnd.lr)
        self._adam = init_adam_state(self.optimizer)
        self.stats = RunningMeanStd()
        self._drawn = torch.zeros((), dtype=torch.int64)

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Nothing: there are no tasks."""
        return {}

    def sample(self, num: int, generator: Generator) -> NoveltyReward:
        """What pays for novelty."""
        return NoveltyReward(self.network, self.stats)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Learn the states that were visited; the first trials only seed the whitening."""
        states = rearrange(trials.trajectories, "e n t ... -> (e n t) ...")
        if not bool(self._drawn):
            self.network.init_weights(states, generator, self.ranks)
            self._drawn += 1
            return {}
        loss = torch.zeros(())
        for _ in range(self.config.rnd.steps):
            size = (self.config.rnd.batch_size,)
            loss = self.network(
                states[torch.randint(len(states), size, generator=generator)]
            ).mean()
            descend(loss, self.network.predictor, self.optimizer, self.ranks)
        return {"novelty": float(loss.detach())}

    def state_dict(self) -> dict[str, Tensor]:
        """Both networks, the optimizer, and what scales novelty."""
        parts = {
            "network": self.network.state_dict(),
            "reward_stats": self.stats.state_dict(),
            "adam": self._adam,
        }
        return state_dicts.join(parts) | {"drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self._drawn.copy_(state["drawn"])
        self.network.load_state_dict(state_dicts.part(state, "network"))
        self.stats.load_state_dict(state_dicts.part(state, "reward_stats"))
        for name, tensor in self._adam.items():
            tensor.copy_(state[f"adam.{name}"])


def init_orthogonal(
    network: nn.Module, generator: Generator, ranks: DistributedContext | None
) -> None:
    """Orthogonal weights and zero biases, the same on every rank."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, math.sqrt(2), generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
            module.weight.data.copy_(first_of(module.weight.data, ranks))


def measure_moments(
    seen: Float[Tensor, "b *seen"],
    mean: Float[Tensor, "*seen"],
    deviation: Float[Tensor, "*seen"],
    ranks: DistributedContext | None,
) -> None:
    """Write mean and standard deviation over all ranks' states into two buffers."""
    mean.copy_(mean_of(seen.mean(0), ranks))
    variance = mean_of((seen - mean).square().mean(0), ranks)
    deviation.copy_(variance.sqrt().clamp(min=DEVIATION_FLOOR))


def descend(
    loss: Float[Tensor, ""],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    ranks: DistributedContext,
) -> None:
    """A step of the optimizer along the gradient averaged over ranks."""
    optimizer.zero_grad()
    loss.backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        parameter.grad.copy_(mean_of(parameter.grad, ranks))
    optimizer.step()


def _gray(states: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b *seen"]:
    values = states.float()
    return values.mean(1, keepdim=True) / 255 if values.ndim == 4 else values


def build_network(
    observation: Sequence[int], width: int, *, deep: bool, channels: int = 1
) -> nn.Sequential:
    """The random network, or with two more layers the one that learns.

    Args:
        observation: shape of an observation.
        width: of what comes out.
        deep: with two more layers.
        channels: of images as they go in.
    """
    if len(observation) == 1:
        layers: list[nn.Module] = [nn.Linear(observation[0], HIDDEN), nn.ReLU()]
        features, inner = HIDDEN, HIDDEN
    else:
        small = min(observation[1:]) < SMALLEST
        kernels, strides = ((4, 3, 3), (2, 2, 1)) if small else ((8, 4, 3), (4, 2, 1))
        layers, width_in, sides = [], channels, list(observation[1:])
        for wide, kernel, stride in zip((32, 64, 64), kernels, strides, strict=True):
            layers += [nn.Conv2d(width_in, wide, kernel, stride), nn.LeakyReLU()]
            width_in, sides = wide, [(side - kernel) // stride + 1 for side in sides]
        layers.append(nn.Flatten())
        features, inner = 64 * math.prod(sides), 512
    if deep:
        for _ in range(2):
            layers += [nn.Linear(features, inner), nn.ReLU()]
            features = inner
    return nn.Sequential(*layers, nn.Linear(features, width))

"""METRA: skills that move far in a learned space in which a step is at most one long."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.method_config import MetraConfig
from scalable_binding.carml.rnd import build_network, descend, init_orthogonal, measure_moments
from scalable_binding.carml.rollout import Reward, Trials
from scalable_binding.engine import state_dicts
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.state_dicts import init_adam_state
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.nn.running_mean_std import RunningMeanStd


class Metra(nn.Module):
    """phi of METRA, with the multiplier lambda of its constraint.

        maximize  E[(phi(s') - phi(s))^T z]   subject to  |phi(s') - phi(s)|^2 <= 1

    for states s, s' one step apart: a Wasserstein dependency measure between states and skills
    under the temporal distance. Skills z are uniform on the unit sphere, or centered one-hot
    vectors.

    Args:
        observation: shape of an observation.
        config: of skills and learning.

    Source: Park et al., METRA: Scalable Unsupervised RL with Metric-Aware Abstraction, 2024,
    Eq. 8 to 11 and Alg. 1.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, observation: Sequence[int], config: MetraConfig) -> None:
        super().__init__()
        self.config = config
        with torch.random.fork_rng(devices=[]):  # weights are drawn by init_weights
            channels = observation[0] if len(observation) == 3 else 1
            self.phi = build_network(observation, config.width, deep=True, channels=channels)
        self.log_multiplier = nn.Parameter(torch.tensor(math.log(config.first_multiplier)))
        self.register_buffer("mean", torch.zeros(tuple(observation)))
        self.register_buffer("deviation", torch.ones(tuple(observation)))

    def init_weights(
        self,
        states: Shaped[Tensor, "b *obs"],
        generator: Generator,
        ranks: DistributedContext | None,
    ) -> None:
        """Draw the network, and measure states of a random policy for whitening."""
        init_orthogonal(self.phi, generator, ranks)
        measure_moments(states.float(), self.mean, self.deviation, ranks)

    def forward(self, states: Shaped[Tensor, "b *obs"]) -> Float[Tensor, "b d"]:
        """Phi of states, by which skills are told apart."""
        return self.phi((states.float() - self.mean) / self.deviation)

    def sample_skills(self, num: int, generator: Generator) -> Float[Tensor, "e d"]:
        """Skills z."""
        width = self.config.width
        if not self.config.is_discrete:
            return functional.normalize(torch.randn(num, width, generator=generator), dim=-1)
        chosen = torch.randint(width, (num,), generator=generator)
        centered = torch.eye(width) - 1 / width
        return centered[chosen] * (width / (width - 1))


class Losses(NamedTuple):
    """What phi and the multiplier descend, and figures of the pairs."""

    phi: Float[Tensor, ""]
    multiplier: Float[Tensor, ""]
    reward: Float[Tensor, ""]
    squared_step: Float[Tensor, ""]


def losses(
    network: Metra,
    before: Shaped[Tensor, "b *obs"],
    after: Shaped[Tensor, "b *obs"],
    skills: Float[Tensor, "b d"],
) -> Losses:
    """The losses of pairs of states one step apart and the skills of their trials.

    Source: METRA, Eq. 10 and 11: min(eps, 1 - |phi(s') - phi(s)|^2) is kept at 0 by dual descent.
    """
    change = network(after) - network(before)
    reward = (change * skills).sum(-1)
    squared = change.square().sum(-1)
    slack = (1 - squared).clamp(max=network.config.slack)
    multiplier = network.log_multiplier
    phi = -(reward + multiplier.detach().exp() * slack).mean()
    return Losses(phi, multiplier * slack.mean().detach(), reward.mean(), squared.mean())


class MetraReward:
    """(phi(s') - phi(s))^T z for each step, in units of its deviation over all steps so far."""

    def __init__(self, network: Metra, skills: Float[Tensor, "e d"], stats: RunningMeanStd) -> None:
        self.network, self.skills, self.stats = network, skills, stats
        self._before = torch.zeros_like(skills)
        self._active: Bool[Tensor, " e"] = torch.ones(len(skills), dtype=torch.bool)

    @torch.no_grad()
    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """A new episode, from its first state."""
        self._before = self.network(observation)
        self._active = torch.ones_like(self._active)

    @torch.no_grad()
    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """What the agent sees for the step; scaled but not shifted, 0 stands for standing still."""
        after = self.network(step.observation)
        rewards = ((after - self._before) * self.skills).sum(-1) * self._active
        self._before = after
        self.stats.update(rewards[self._active])
        self._active = ~step.done
        return rewards / max(float(self.stats.std), 1e-8)


class MetraSource:
    """Tasks of METRA: a skill for each trial, which the agent has to find out from its rewards.

    METRA tells its policy the skill and learns from a replay buffer; here the policy is RL^2's and
    finds it within a trial, and phi learns from the transitions of each update.

    Args:
        config: of the whole run.
        env: whose states are told apart.
        ranks: of the run.
    """

    def __init__(self, config: CARMLConfig, env: BatchEnv, ranks: DistributedContext) -> None:
        self.config, self.ranks = config, ranks
        self.network = Metra(env.observation_space.shape, config.metra)
        settings = config.metra
        self.optimizer = torch.optim.Adam(self.network.parameters(), settings.lr)
        self._adam = init_adam_state(self.optimizer)
        self.stats = RunningMeanStd()
        self._drawn = torch.zeros((), dtype=torch.int64)

    def fit_tasks(self, generator: Generator) -> dict[str, float]:
        """Nothing: phi learns after each update."""
        return {}

    def sample(self, num: int, generator: Generator) -> MetraReward:
        """The rewards of skills, one a trial."""
        return MetraReward(self.network, self.network.sample_skills(num, generator), self.stats)

    def update(self, trials: Trials, reward: Reward, generator: Generator) -> dict[str, float]:
        """Learn phi from the transitions; the first, random trials only seed the whitening."""
        if not isinstance(reward, MetraReward):
            if not bool(self._drawn):
                states = rearrange(trials.trajectories, "e n t ... -> (e n t) ...")
                self.network.init_weights(states, generator, self.ranks)
                self._drawn += 1
            return {}
        num_skills, num_steps = len(reward.skills), trials.rewards[0].numel()
        active = rearrange(trials.active, "e n t -> (e n t)").nonzero()[:, 0]
        before = rearrange(trials.observations, "e n t ... -> (e n t) ...")
        after = rearrange(trials.trajectories, "e n t ... -> (e n t) ...")
        places = repeat(torch.arange(num_skills), "e -> (e s)", s=num_steps)
        found: Losses | None = None
        for _ in range(self.config.metra.steps):
            size = (self.config.metra.batch_size,)
            chosen = active[torch.randint(len(active), size, generator=generator)]
            skills = reward.skills[places[chosen]]
            found = losses(self.network, before[chosen], after[chosen], skills)
            descend(found.phi + found.multiplier, self.network, self.optimizer, self.ranks)
        assert found is not None
        return {
            "metra_reward": float(found.reward.detach()),
            "metra_squared_step": float(found.squared_step.detach()),
            "metra_multiplier": float(self.network.log_multiplier.detach().exp()),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Phi and multiplier, the optimizer, and what scales rewards."""
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

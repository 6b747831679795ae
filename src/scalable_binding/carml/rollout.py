"""Rollouts: trials of several episodes with one hidden state, and a reservoir of trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from einops import rearrange
from gymnasium import spaces
from jaxtyping import Bool, Float, Shaped
from torch import Generator, Tensor

from scalable_binding.carml.model import Act, Policy
from scalable_binding.envs.batch import BatchEnv, Step
from scalable_binding.errors import UserError


@runtime_checkable
class Reward(Protocol):
    """What rewards a batch of trials, one task an environment, step after step."""

    def begin(self, observation: Shaped[Tensor, "e *obs"]) -> None:
        """An episode begins with this observation."""
        ...

    def step(self, step: Step, env: BatchEnv) -> Float[Tensor, " e"]:
        """What the agent sees for having come to ``step.observation``."""
        ...


@dataclass(frozen=True)
class Trials:
    """What happened in ``e`` trials of ``n`` episodes of ``t`` steps.

    Attributes:
        observations: before each action.
        final: after the last action of each episode.
        actions: as the policy drew them.
        rewards: as the agent saw them, for each action.
        log_probs: of the actions.
        values: before each action.
        dones: the action ended the episode.
        active: False after an early end of the episode.
    """

    observations: Shaped[Tensor, "e n t *obs"]
    final: Shaped[Tensor, "e n *obs"]
    actions: Shaped[Tensor, "e n t *a"]
    rewards: Float[Tensor, "e n t"]
    log_probs: Float[Tensor, "e n t"]
    values: Float[Tensor, "e n t"]
    dones: Bool[Tensor, "e n t"]
    active: Bool[Tensor, "e n t"]

    @property
    def trajectories(self) -> Shaped[Tensor, "e n t *obs"]:
        """The states that the actions led to: what was rewarded, and what a scaffold is fit to."""
        return torch.cat([self.observations[:, :, 1:], self.final[:, :, None]], dim=2)


def collect(
    env: BatchEnv, policy: Policy, reward: Reward, episodes: int, generator: Generator | None
) -> Trials:
    """The trials of a policy in every environment of a batch.

    Args:
        env: gets new worlds for the trials, and is reset at the beginning of each episode.
        policy: its state starts from zeros and lives on from episode to episode.
        reward: of the tasks, one an environment.
        episodes: in a trial.
        generator: of the actions, on the policy's device; None takes the likeliest ones.

    Raises:
        UserError: a reward that is no finite number.

    Source: Thesis 4.2 and Alg. 8, line 9; RL^2 (Duan et al., 2016).
    """
    env.resample_world()
    collector = _Collector(env, policy, reward, generator)
    return _stack([collector.episode() for _ in range(episodes)])


class _Collector:
    """A trial in the making: what the policy carries from one step to the next."""

    def __init__(
        self, env: BatchEnv, policy: Policy, reward: Reward, generator: Generator | None
    ) -> None:
        self.env, self.policy, self.reward, self.generator = env, policy, reward, generator
        self.device = policy.device
        num = env.num_envs
        self.state = policy.initial_state(num)
        self.action = policy.actions.initial_actions(num).to(self.device)
        self.gained = torch.zeros(num, device=self.device)
        self.done = torch.zeros(num, dtype=torch.bool, device=self.device)

    def episode(self) -> dict[str, Tensor]:
        """One episode of every trial, as tensors (e t ...), and "final"."""
        steps: list[dict[str, Tensor]] = []
        observation = self.env.reset()
        self.reward.begin(observation)
        over = torch.zeros(self.env.num_envs, dtype=torch.bool)
        for _ in range(self.env.episode_length):
            act = self._act(observation)
            step = self.env.step(to_environment(act.actions.cpu(), self.env))
            rewards = self._judge(step)
            steps.append(
                {
                    "observations": observation,
                    "actions": act.actions,
                    "rewards": rewards,
                    "log_probs": act.log_probs,
                    "values": act.values,
                    "dones": step.done,
                    "active": ~over,
                }
            )
            over = step.done
            self.gained, self.done = rewards.to(self.device), step.done.to(self.device)
            observation = step.observation
        self.done = torch.ones_like(self.done)
        found = {name: torch.stack([s[name].cpu() for s in steps], dim=1) for name in steps[0]}
        found["dones"][:, -1] = True
        return {**found, "final": observation}

    def _act(self, observation: Shaped[Tensor, "e *obs"]) -> Act:
        act = self.policy.act(
            observation.to(self.device),
            self.action,
            self.gained,
            self.done,
            self.state,
            self.generator,
        )
        self.state, self.action = act.state, act.actions
        return act

    def _judge(self, step: Step) -> Float[Tensor, " e"]:
        rewards = self.reward.step(step, self.env)
        if not bool(torch.isfinite(rewards).all()):
            number = int((~torch.isfinite(rewards)).nonzero()[0])
            got = f"{float(rewards[number])} in environment {number}"
            raise UserError("reward", expected="finite numbers", got=got)
        return rewards


def to_environment(actions: Shaped[Tensor, "e *a"], env: BatchEnv) -> Shaped[Tensor, "e *a"]:
    """Actions as the environment takes them: vectors of [-1, 1] fill the range of its space."""
    space = env.action_space
    return actions if isinstance(space, spaces.Discrete) else fill(actions, space)


def fill(actions: Float[Tensor, "*e a"], space: spaces.Box) -> Float[Tensor, "*e a"]:
    """Vectors of [-1, 1] over the range of a space; where that has no end, the vectors themselves.

    Where one end is missing, they are cut off at the other. The space may have any shape.
    """
    low, high = (torch.from_numpy(bound.ravel()) for bound in (space.low, space.high))
    filled = low + (actions.clamp(-1, 1) + 1) / 2 * (high - low)
    return torch.where(filled.isfinite(), filled, actions.clamp(low, high))


def previous(trials: Trials) -> tuple[Tensor, Tensor, Tensor]:
    """Actions (e s *a), rewards (e s) and dones (e s) before each of the ``s`` steps of a trial.

    Before the first are no action, reward 0 and no end.
    """
    actions = rearrange(trials.actions, "e n t ... -> e (n t) ...")
    first = torch.zeros_like(actions[:, :1])
    if not actions.is_floating_point():
        first = first - 1
    shifted = [torch.cat([first, actions[:, :-1]], dim=1)]
    for each in (trials.rewards, trials.dones):
        flat = rearrange(each, "e n t -> e (n t)")
        shifted.append(torch.cat([torch.zeros_like(flat[:, :1]), flat[:, :-1]], dim=1))
    return shifted[0], shifted[1], shifted[2]


def _stack(episodes: list[dict[str, Tensor]]) -> Trials:
    return Trials(**{name: torch.stack([e[name] for e in episodes], dim=1) for name in episodes[0]})


class StickyEnv:
    """Environments that sometimes repeat the action before instead of the one they are given.

    Random policies cover more with it. Only what :func:`collect` needs of an environment.

    Args:
        inner: the environments.
        share: probability that an action is repeated.
        generator: of the repetitions.
    """

    def __init__(self, inner: BatchEnv, share: float, generator: Generator) -> None:
        self.inner, self.share, self.generator = inner, share, generator
        self._last: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def reset(self) -> Shaped[Tensor, "e *obs"]:
        """The first observations; no action came before."""
        self._last = None
        return self.inner.reset()

    def step(self, actions: Shaped[Tensor, "e *a"]) -> Step:
        """A step with the actions, or with those before."""
        if self._last is not None:
            repeats = torch.rand(len(actions), generator=self.generator) < self.share
            mask = repeats.view(-1, *[1] * (actions.ndim - 1))
            actions = torch.where(mask, self._last, actions)
        self._last = actions
        return self.inner.step(actions)


class Reservoir:
    """Uniformly drawn trajectories out of all that were ever offered.

    After m offers each of them is inside with probability capacity / m.

    Args:
        capacity: trajectories that are kept.
        length: states in each.
        observation: shape of a state.
        dtype: of a state.

    Source: Thesis Alg. 8, line 11, and 4.6 ("reservoir sampling"); Vitter's algorithm R, 1985.
    """

    def __init__(
        self, capacity: int, length: int, observation: Sequence[int], dtype: torch.dtype
    ) -> None:
        self._kept = torch.zeros(capacity, length, *observation, dtype=dtype)
        self.offered = 0

    def __len__(self) -> int:
        return min(self.offered, len(self._kept))

    @property
    def trajectories(self) -> Shaped[Tensor, "n t *obs"]:
        """What is inside."""
        return self._kept[: len(self)]

    def add(self, trajectories: Shaped[Tensor, "n t *obs"], generator: Generator) -> None:
        """Offer trajectories, one after the other."""
        shares = torch.rand(len(trajectories), generator=generator, dtype=torch.float64)
        for trajectory, share in zip(trajectories, shares.tolist(), strict=True):
            place = self.offered
            self.offered += 1
            if place >= len(self._kept):
                place = int(share * self.offered)
            if place < len(self._kept):
                self._kept[place] = trajectory

    def forget(self) -> None:
        """Count what is inside as all that was ever offered, so that what comes has more room."""
        self.offered = len(self)

    def state_dict(self) -> dict[str, Tensor]:
        """All places, filled or not, and the number of offers."""
        return {"kept": self._kept, "offered": torch.tensor(self.offered)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what ``state_dict`` gave."""
        self._kept.copy_(state["kept"])
        self.offered = int(state["offered"])

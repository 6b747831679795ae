"""Inference: load an agent, act with it, and let it adapt to a reward within a trial."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from scalable_binding import weights
from scalable_binding.carml import model
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Trials, collect, fill
from scalable_binding.carml.task_rewards import (
    TaskFunctions,
    TaskReward,
    parse,
    read_reward_stats,
)
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.engine.config import from_mapping
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, GroundTruth
from scalable_binding.errors import UserError
from scalable_binding.nn.running_mean_std import RunningMeanStd

PLACE = 7
"""Of inference among the purposes of randomness."""


def read_config(run: str | Path, *, trust: bool = False) -> CARMLConfig:
    """The configuration that a run was trained with.

    Args:
        run: folder, or the name of an agent that ships.
        trust: whether its environment may be of a module that has to be imported for it
            (``module:Env``): a run's folder from a stranger could name any.

    Raises:
        UserError: the folder holds no run of CARML, or its environment is not to be trusted.
    """
    record = _read_record(weights.find("carml", run))
    groups = {name: record[name] for name in CARMLConfig.__dataclass_fields__ if name in record}
    known = CARMLConfig().model.__dataclass_fields__
    groups["model"] = {name: record[name] for name in known if name in record}
    config = from_mapping(CARMLConfig, groups)
    module, _, _ = config.environment.name.rpartition(":")
    if module and not trust:
        line = f"run {run} names the environment {config.environment.name!r}"
        fix = "if you know this code, say --trust (from Python trust=True)"
        raise UserError(f"{line}: this would import the module {module!r}", fix=fix)
    return config


def load(run: str | Path) -> Policy:
    """The agent of a run, or one that ships ("maze", "room"), in evaluation mode.

    Raises:
        UserError: the folder holds no run of CARML, or its weights are damaged.
    """
    run = weights.find("carml", run)
    record = _read_record(run)
    missing = [name for name in model.ARGUMENTS if name not in record]
    if missing:
        raise UserError(f"{run / CONFIG}", expected=f"a setting {missing[0]!r}", got="none")
    make = partial(model.init_policy, 0, **{name: record[name] for name in model.ARGUMENTS})
    file = run / WEIGHTS
    return checkpoint.restore(make, checkpoint.read_tensors(file), file, "an agent")


class Agent:
    """One agent in one environment: it learns from what it is told, within a trial.

    >>> agent = Agent(policy)                               # doctest: +SKIP
    >>> agent.reset()                                       # a new task
    >>> action = agent.act(observation)                     # the first step
    >>> action = agent.act(observation, reward, done)       # every other one, over all episodes

    Args:
        policy: of :func:`load`, or any other.
        action_space: of the environment; vectors of [-1, 1] then fill its range, where it has one,
            and numbers begin where its numbers do.
        seed: of the actions it draws; None takes the likeliest ones.
        reward_stats: what whitens rewards. By default rewards are whitened with the statistics of
            all that the agent has been given since it was made, also in earlier trials.
    """

    def __init__(
        self,
        policy: Policy,
        action_space: spaces.Space | None = None,
        *,
        seed: int | None = 0,
        reward_stats: RunningMeanStd | None = None,
    ) -> None:
        self.policy, self.action_space = policy, action_space
        self.reward_stats = reward_stats or RunningMeanStd()
        self._learns = reward_stats is None
        self._random = None if seed is None else generator(seed, PLACE, device=policy.device)
        self.reset()

    def reset(self) -> None:
        """Forget the task: what follows is the first step of a new trial."""
        self._state = self.policy.initial_state(1)
        self._action = self.policy.actions.initial_actions(1).to(self.policy.device)
        self._is_first = True

    def act(self, observation: Any, reward: float | int = 0.0, done: bool = False) -> Any:
        """The action for an observation: a number, or a vector (a) of float32.

        Args:
            observation: of the environment: pixels (c h w) of uint8, or a state (d).
            reward: for the last action.
            done: the last action ended an episode, and ``observation`` begins the next one.

        Raises:
            UserError: an observation of another shape, or a reward that is no finite number.
        """
        seen = torch.as_tensor(np.asarray(observation))
        if tuple(seen.shape) != self.policy.observation:
            expected = f"shape {self.policy.observation}"
            raise UserError("observation", expected=expected, got=f"shape {tuple(seen.shape)}")
        if not np.isfinite(reward):
            raise UserError("reward", expected="a finite number", got=str(reward))
        device = self.policy.device
        act = self.policy.act(
            seen[None].to(device),
            self._action,
            self._whiten(reward).to(device),
            torch.tensor([done], device=device),
            self._state,
            self._random,
        )
        self._state, self._action, self._is_first = act.state, act.actions, False
        return self._to_environment(act.actions[0].cpu())

    def _whiten(self, reward: float | int) -> Float[Tensor, " 1"]:
        if self._is_first:
            return torch.zeros(1)
        value = torch.tensor([float(reward)])
        if self._learns:
            self.reward_stats.update(value)
        return self.reward_stats.normalize(value).float()

    def _to_environment(self, action: Tensor) -> Any:
        space = self.action_space
        if not self.policy.continuous:
            return int(action) + (int(space.start) if isinstance(space, spaces.Discrete) else 0)
        if not isinstance(space, spaces.Box):
            return action.clamp(-1, 1).numpy()
        return fill(action, space).numpy().reshape(space.shape).astype(np.float32)


@dataclass(frozen=True)
class Adaptation:
    """What an agent did in trials of a request.

    Attributes:
        name: of what was asked.
        returns: of each trial and episode, as the task pays.
        reached: whether the goal was reached at some step; None where nobody can say.
        trials: all that happened.
        truths: the true states after each step, (e n t ...) by name; empty where worlds do not
            tell them.
    """

    name: str
    returns: Float[Tensor, "e n"]
    reached: Bool[Tensor, "e n"] | None
    trials: Trials
    truths: GroundTruth


def adapt(
    policy: Policy,
    env: BatchEnv,
    task: TaskFunctions,
    random: Generator | None,
    *,
    episodes: int = 4,
    reward_stats: RunningMeanStd | None = None,
    shown: TaskFunctions | None = None,
) -> Adaptation:
    """Trials of a task in every environment of a batch, without a gradient.

    Args:
        policy: the agent.
        env: worlds that fit it.
        task: what is rewarded, and what counts as success.
        random: of the actions; None takes the likeliest ones.
        episodes: in a trial.
        reward_stats: what whitens rewards; by default the statistics of a first batch of trials,
            which does not count; tasks share them.
        shown: another task, whose reward the agent sees instead (a control).

    Raises:
        UserError: worlds that do not fit the agent, or rewards that are no finite numbers.

    Source: Thesis 4.5.2, direct transfer; 4.7.2 for the rewards.
    """
    check_fit(policy, env)
    if reward_stats is None:
        reward_stats = RunningMeanStd()
        first = TaskReward(task, reward_stats, learning=True, shown=shown)
        collect(env, policy, first, episodes, random)
    reward = TaskReward(task, reward_stats, learning=False, shown=shown)
    trials = collect(env, policy, reward, episodes, random)
    names = list(reward.truths[0][0])
    truths = {
        name: torch.stack(
            [torch.stack([s[name] for s in steps], dim=1) for steps in reward.truths], dim=1
        )
        for name in names
    }
    reached = None if task.success_fn is None else torch.stack(reward.reached, dim=1)
    return Adaptation(task.name, torch.stack(reward.returns, dim=1), reached, trials, truths)


def check_fit(policy: Policy, env: BatchEnv) -> None:
    """Nothing, where an agent can act in these environments.

    Raises:
        UserError: their observations or actions are not those that the agent was made for.
    """
    found = model.spaces_to_arguments(env.observation_space, env.action_space)
    mine = {
        "observation": policy.observation,
        "actions": policy.actions.width,
        "continuous": policy.continuous,
    }
    if found != mine:
        fix = "use the environment of the agent's run"
        what, expected = "environment for this agent", _spell(mine)
        raise UserError(what, expected=expected, got=_spell(found), fix=fix)


def try_out(
    run: Path,
    task: str,
    *,
    trials: int = 1,
    episodes: int = 4,
    seed: int = 0,
    trust: bool = False,
) -> Adaptation:
    """Trials of a task by the agent of a run, in its own environment.

    ``trust`` as :func:`read_config` has it.

    Raises:
        UserError: no such run, or a task of another form.
    """
    config, policy = read_config(run, trust=trust), load(run)
    functions = parse(task, config.environment.name)
    settings = config.environment
    with closing(registry.make(settings.name, trials, seed, **settings.arguments())) as env:
        random, reward_stats = generator(seed, PLACE), read_reward_stats(Path(run))
        return adapt(policy, env, functions, random, episodes=episodes, reward_stats=reward_stats)


def _read_record(run: Path) -> dict[str, Any]:
    if not (run / CONFIG).is_file():
        raise UserError(f"run {run}: cannot read its {CONFIG}: there is none")
    record = checkpoint.read_config(run / CONFIG)
    if not isinstance(record, dict) or record.get("system") != "carml":
        got = record.get("system") if isinstance(record, dict) else type(record).__name__
        raise UserError(f"run {run}", expected="a run of carml", got=str(got))
    return record


def _spell(spaces_of: dict[str, Any]) -> str:
    kind = "vectors of" if spaces_of["continuous"] else "a choice among"
    shape = " x ".join(map(str, spaces_of["observation"]))
    return f"observations {shape} and {kind} {spaces_of['actions']}"

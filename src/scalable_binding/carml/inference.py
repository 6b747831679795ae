"""What a user does with an agent: give it a reward, act with it, adapt it, fine-tune it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from scalable_binding.carml import model
from scalable_binding.carml.asked import AskedReward, Request, parse
from scalable_binding.carml.config import CARMLConfig
from scalable_binding.carml.given import Moments, read_moments
from scalable_binding.carml.methods_config import Method, StartConfig
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Trials, collect, fill
from scalable_binding.carml.train import train
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.engine.config import from_mapping, override
from scalable_binding.engine.randomness import generator
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv, Truth
from scalable_binding.errors import UserError

PLACE = 7
"""Of inference among the purposes of randomness."""


def read_config(run: str | Path) -> CARMLConfig:
    """The configuration that a run was trained with.

    Raises:
        UserError: the folder holds no run of CARML.
    """
    record = _read_record(Path(run))
    groups = {name: record[name] for name in CARMLConfig.__dataclass_fields__ if name in record}
    known = CARMLConfig().model.__dataclass_fields__
    groups["model"] = {name: record[name] for name in known if name in record}
    return from_mapping(CARMLConfig, groups)


def load(run: str | Path) -> Policy:
    """The agent of a run, in evaluation mode.

    Raises:
        UserError: the folder holds no run of CARML, or its weights are damaged.
    """
    run = Path(run)
    record = _read_record(run)
    missing = [name for name in model.ARGUMENTS if name not in record]
    if missing:
        raise UserError(f"{run / CONFIG}", expected=f"a setting {missing[0]!r}", got="none")
    make = partial(model.draw, 0, **{name: record[name] for name in model.ARGUMENTS})
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
        moments: what whitens rewards. By default rewards are whitened with the statistics of
            all that the agent has been given since it was made, also in earlier trials.
    """

    def __init__(
        self,
        policy: Policy,
        action_space: spaces.Space | None = None,
        *,
        seed: int | None = 0,
        moments: Moments | None = None,
    ) -> None:
        self.policy, self.action_space = policy, action_space
        self.moments = moments or Moments()
        self._learns = moments is None
        self._random = None if seed is None else generator(seed, PLACE, device=policy.device)
        self.reset()

    def reset(self) -> None:
        """Forget the task: what follows is the first step of a new trial."""
        self._state = self.policy.initial_state(1)
        self._action = self.policy.actions.first(1).to(self.policy.device)
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
            self.moments.update(value)
        return self.moments.whiten(value).float()

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
    truths: Truth


def adapt(
    policy: Policy,
    env: BatchEnv,
    request: Request,
    random: Generator | None,
    *,
    episodes: int = 4,
    moments: Moments | None = None,
) -> Adaptation:
    """Trials of a task in every environment of a batch, without a gradient.

    Args:
        policy: the agent.
        env: worlds that fit it.
        request: what is asked.
        random: of the actions; None takes the likeliest ones.
        episodes: in a trial.
        moments: what whitens rewards; by default a first batch of trials, which does not count,
            finds the statistics, which tasks then share.

    Raises:
        UserError: worlds that do not fit the agent, or rewards that are no finite numbers.

    Source: Thesis 4.5.2, direct transfer; 4.7.2 for the rewards.
    """
    check_fit(policy, env)
    if moments is None:
        moments = Moments()
        collect(env, policy, AskedReward(request, moments, learning=True), episodes, random)
    reward = AskedReward(request, moments, learning=False)
    trials = collect(env, policy, reward, episodes, random)
    names = list(reward.truths[0][0])
    truths = {
        name: torch.stack(
            [torch.stack([s[name] for s in steps], dim=1) for steps in reward.truths], dim=1
        )
        for name in names
    }
    reached = None if request.reach is None else torch.stack(reward.reached, dim=1)
    return Adaptation(request.name, torch.stack(reward.returns, dim=1), reached, trials, truths)


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


def finetune(
    run: Path,
    out: Path,
    *,
    task: str | None = None,
    part: str = "policy",
    updates: int | None = None,
    changes: dict[str, Any] | None = None,
) -> Policy:
    """The agent of a run after further training, with the rewards of a task or of many.

    Args:
        run: what to start from.
        out: folder of the new run.
        task: a single one, as :func:`parse` takes it; None: the environment's distribution of
            training tasks (supervised meta-learning).
        part: "policy", or "encoder" to start from features only (Fig. 4.9).
        updates: of the agent; by default as many as the first run had.
        changes: further settings by dotted name.

    Raises:
        UserError: no such run, a task of another form, or settings that make no sense.

    Source: Thesis 4.5.2 (Fig. 4.7) and 4.5.4 (Fig. 4.9).
    """
    is_begun = checkpoint.latest_step(out) is not None and not (run / CONFIG).is_file()
    config = read_config(out if is_begun else run)  # a run that is begun needs its source no more
    if out.resolve() == run.resolve():
        raise UserError(f"{out} is the run itself", fix="choose another folder")
    if task is not None:
        parse(task, config.environment.name)  # refuses before anything is written
    start = from_mapping(StartConfig, {"weights": str(run), "part": part})
    method: Method = "oracle" if task is None else "ppo"
    changed = replace(config, method=method, task=task, start=start)
    if updates is not None:
        changed = override(changed, {"fit.steps": updates})
    return train(override(changed, changes or {}), out)


def try_out(
    run: Path, task: str, *, trials: int = 1, episodes: int = 4, seed: int = 0
) -> Adaptation:
    """Trials of a task by the agent of a run, in its own environment.

    Raises:
        UserError: no such run, or a task of another form.
    """
    config, policy = read_config(run), load(run)
    request = parse(task, config.environment.name)
    settings = config.environment
    with closing(registry.make(settings.name, trials, seed, **settings.arguments())) as env:
        random, moments = generator(seed, PLACE), read_moments(Path(run))
        return adapt(policy, env, request, random, episodes=episodes, moments=moments)


def _read_record(run: Path) -> dict[str, Any]:
    path = run / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"run {run}: cannot read its {CONFIG}: {error}") from error
    if not isinstance(record, dict) or record.get("system") != "carml":
        got = record.get("system") if isinstance(record, dict) else type(record).__name__
        raise UserError(f"run {run}", expected="a run of carml", got=str(got))
    return record


def _spell(spaces_of: dict[str, Any]) -> str:
    kind = "vectors of" if spaces_of["continuous"] else "a choice among"
    shape = " x ".join(map(str, spaces_of["observation"]))
    return f"observations {shape} and {kind} {spaces_of['actions']}"

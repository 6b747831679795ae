"""Training without rewards: rounds of making tasks and of meta-learning them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from scalable_binding import locks
from scalable_binding.atomic import explain_write_errors
from scalable_binding.carml import model, objective
from scalable_binding.carml.config import CARMLConfig, Method, StartConfig
from scalable_binding.carml.diagnostics import diagnose
from scalable_binding.carml.evaluate import Validation
from scalable_binding.carml.inference import read_config
from scalable_binding.carml.model import Policy
from scalable_binding.carml.rollout import Reward, StickyEnv, Trials, collect
from scalable_binding.carml.round_files import write_round
from scalable_binding.carml.run_check import check_run
from scalable_binding.carml.task_rewards import NoReward, parse, write_reward_stats
from scalable_binding.carml.task_sources import (
    SKILLS,
    Curriculum,
    GivenTasks,
    TaskSource,
    build_source,
    wrap,
)
from scalable_binding.engine import checkpoint, state_dicts
from scalable_binding.engine.checkpoint import CONFIG
from scalable_binding.engine.config import from_mapping, override, to_mapping
from scalable_binding.engine.distributed import DistributedContext, distributed_session
from scalable_binding.engine.fit import is_due, write_config
from scalable_binding.engine.interruption import Interrupted, StopRequest, deferred_signals
from scalable_binding.engine.loading import MicroBatch, micro_batch_size
from scalable_binding.engine.log import Recorder
from scalable_binding.engine.randomness import derive, generator
from scalable_binding.engine.trainer import Trainer
from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.errors import UserError
from scalable_binding.nn.running_mean_std import RunningMeanStd

PLACES = {
    **{"first": 0, "scaffold": 1, "tasks": 2, "actions": 3, "absorb": 4, "order": 5},
    "diagnostics": 6,
}
"""What randomness is for: each has generators of its own, a function of seed, update and rank."""


def train(config: CARMLConfig, run: Path) -> Policy:
    """The agent that ``config`` describes, in evaluation mode; the iterate that validation chose.

    Writes config.json, log.jsonl, model.safetensors and state/ into the run folder, as
    :func:`scalable_binding.engine.fit.fit` does; a run that was stopped goes on, on the CPU to the
    same bits, with the same number of processes. A step is one update: trials of
    ``fit.batch_size`` tasks, then ``ppo.epochs`` passes over them.

    Args:
        config: a preset, changed at will.
        run: the folder for everything that the run writes.

    Raises:
        UserError: an environment or a folder that cannot be used, or the run of another one.
        Interrupted: the run was stopped; it is saved.

    Source: Thesis Alg. 8.
    """
    is_new = not run.exists()
    with explain_write_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    try:
        with locks.exclusive(run):
            return _train(config, run)
    except UserError:
        if is_new and not any(run.iterdir()):
            run.rmdir()  # nothing was begun
        raise


def _train(config: CARMLConfig, run: Path) -> Policy:
    check_run(config, run)
    if config.method == "pipelined":
        train(replace(config, method="contextual"), run / SKILLS)
    with (
        distributed_session(config.fit.device) as ranks,
        deferred_signals() as request,
        closing(open_environment(config, ranks)) as env,
        closing(Validation(config, ranks)) as validation,
    ):
        policy = build(config, env)
        if checkpoint.latest_step(run) is None:
            load_initial_weights(policy, config.start)
        loss = partial(objective.loss, config=config.ppo)
        with Trainer(policy, loss, config.fit, ranks) as trainer:
            source = build_source(config, env, ranks, run)
            return _Training(config, trainer, env, source, validation, run).go(request)


def build(config: CARMLConfig, env: BatchEnv) -> Policy:
    """A fresh policy for an environment, its weights drawn from the run's seed."""
    decided = model.spaces_to_arguments(env.observation_space, env.action_space)
    return model.init_policy(config.fit.seed, **decided, **to_mapping(config.model))


def open_environment(config: CARMLConfig, ranks: DistributedContext) -> BatchEnv:
    """This rank's share of the environments that are learned in.

    Raises:
        UserError: no such environment, or tasks that cannot be shared out evenly.
    """
    micro_batch_size(config.fit, ranks)  # refuses what cannot be shared out
    share = config.fit.batch_size // ranks.size
    if share % config.ppo.minibatches:
        expected = f"a divisor of the {share} tasks of a process"
        raise UserError("ppo.minibatches", expected=expected, got=str(config.ppo.minibatches))
    micro, size = config.fit.micro_batch_size, share // config.ppo.minibatches
    if micro is not None and size % micro:
        expected = f"a divisor of the {size} trials of a minibatch"
        raise UserError("fit.micro_batch_size", expected=expected, got=str(micro))
    seed = derive(config.fit.seed, ranks.rank)
    settings = config.environment
    return wrap(config, registry.make(settings.name, share, seed, **settings.arguments()))


def load_initial_weights(policy: Policy, config: StartConfig) -> None:
    """Give a fresh policy the weights that a run begins with, all of them or its encoder's.

    Raises:
        UserError: weights that cannot be read, or are of another architecture.

    Source: Thesis 4.5.4.
    """
    if config.weights is None:
        return
    path = Path(config.weights)
    if config.part == "policy":
        checkpoint.load_model(policy, path)
        return
    file = path / checkpoint.WEIGHTS if path.is_dir() else path
    own = state_dicts.part(checkpoint.read_tensors(file), "encoder")
    if not own:
        fix = "start from the whole policy"
        raise UserError(f"{file}", expected="weights of an encoder", got="none", fix=fix)
    checkpoint.load_tensors(policy.encoder, own, file)


def finetune(
    run: Path,
    out: Path,
    *,
    task: str | None = None,
    part: str = "policy",
    updates: int | None = None,
    changes: dict[str, Any] | None = None,
    trust: bool = False,
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
        trust: as :func:`scalable_binding.carml.inference.read_config` has it.

    Raises:
        UserError: no such run, a task of another form, or settings that make no sense.

    Source: Thesis 4.5.2 (Fig. 4.7) and 4.5.4 (Fig. 4.9).
    """
    is_begun = checkpoint.latest_step(out) is not None and not (run / CONFIG).is_file()
    named = trust or "environment.name" in (changes or {})
    config = read_config(
        out if is_begun else run, trust=named
    )  # a run that is begun needs its source no more
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


class _Training:
    """A run: what changes from update to update, and how."""

    def __init__(
        self,
        config: CARMLConfig,
        trainer: Trainer,
        env: BatchEnv,
        source: TaskSource,
        validation: Validation,
        run: Path,
    ) -> None:
        self.config, self.trainer, self.env = config, trainer, env
        self.source, self.validation, self.run = source, validation, run
        self.ranks = trainer.ranks
        policy = trainer.model
        assert isinstance(policy, Policy)
        self.policy = policy

    def go(self, request: StopRequest) -> Policy:
        """Train to the end, or until asked to stop; return the selected policy."""
        fit, start = self.config.fit, self._prepare()
        with Recorder(self.run, fit, self.ranks, start=start) as recorder:
            for step in range(start + 1, fit.steps + 1):
                if (step - 1) % self.config.curriculum.period == 0:
                    recorder.note(step, self._fit_tasks(step))
                recorder.add(self._update(step))
                stop = self.ranks.largest(request.signal)
                save = stop > 0 or is_due(step, fit.save_every, fit)
                if save or is_due(step, fit.log_every, fit):
                    recorder.report(step, lr=self.trainer.learning_rate(step))
                recorder.note(step, self.validation.select(self.trainer, step, self._reward_stats))
                if save:
                    self._save(step)
                if stop and step < fit.steps:
                    raise Interrupted(self.run, step, stop)
        return self._selected()

    def _fit_tasks(self, step: int) -> dict[str, float]:
        """A new round before update ``step``: tasks made anew, and kept beside the agent."""
        figures = self.source.fit_tasks(self._generator("scaffold", step))
        if self.ranks.is_first:
            number = (step - 1) // self.config.curriculum.period + 1
            weights = dict(self.policy.named_parameters())
            write_round(self.run, number, self.source.state_dict(), weights)
            figures |= self._diagnose()
        return figures

    def _diagnose(self) -> dict[str, float]:
        """What the new tasks' rewards depend on, on the same states in each round."""
        config, source = self.config, self.source
        num_states = config.scaffold.diagnostic_states
        if not isinstance(source, Curriculum) or num_states == 0:
            return {}
        random = self._generator("diagnostics", 0)
        weight, settings = config.task_reward.weight, config.environment
        return diagnose(source.scaffold, weight, self.env, settings, num_states, random)

    def _update(self, step: int) -> dict[str, Tensor]:
        """One update: new tasks, trials of them, passes of PPO, and what the tasks learn of it."""
        reward = self.source.sample(self.env.num_envs, self._generator("tasks", step))
        trials = self._collect(reward, step)
        figures = self._learn(trials, step)
        learned = self.source.update(trials, reward, self._generator("absorb", step))
        figures |= {name: torch.tensor(figure) for name, figure in learned.items()}
        means = trials.rewards.mean(dim=(0, 2))
        figures |= {f"reward_{n}": mean for n, mean in enumerate(means, start=1)}
        return {name: figure.to(self.ranks.device) for name, figure in figures.items()}

    def _collect(self, reward: Reward, step: int) -> Trials:
        """The trials of an update; an environment that fails costs nothing that came before."""
        actions = self._generator("actions", step, self.ranks.device)
        try:
            return collect(self.env, self.policy, reward, self.config.curriculum.episodes, actions)
        except UserError:
            # With several processes the others wait for this one's gradients, not for its state.
            if self.ranks.size == 1 and checkpoint.latest_step(self.run) != step - 1:
                self._save(step - 1)
            raise

    def _learn(self, trials: Trials, step: int) -> dict[str, Tensor]:
        """The passes over an update's trials; returns the mean metrics of their gradient steps."""
        config, totals = self.config.ppo, dict[str, Tensor]()
        batch = objective.batch_of(trials, config, self.ranks)
        batch = {name: tensor.to(self.ranks.device) for name, tensor in batch.items()}
        size = micro_batch_size(self.config.fit, self.ranks)
        order, place = self._generator("order", step), 0
        count = config.epochs * config.minibatches
        for _ in range(config.epochs):
            permutation = torch.randperm(self.env.num_envs, generator=order)
            for chosen in permutation.chunk(config.minibatches):
                parts = []
                for part in chosen.split(size):
                    parts.append(MicroBatch(place, {n: t[part] for n, t in batch.items()}))
                    place += self.ranks.size
                for name, figure in self.trainer.update(parts, step).items():
                    totals[name] = totals.get(name, torch.zeros(())) + figure / count
        return totals

    def _prepare(self) -> int:
        """Make the run folder or take up the run in it; return the updates that are done."""
        step = checkpoint.sound_step(self.run, self.ranks)
        if step is not None:
            self._load(step)
        if self.ranks.is_first:
            record = {"system": "carml", "processes": self.ranks.size}
            record |= model.arguments(self.policy)
            settings = to_mapping(self.config)
            record |= {n: v for n, v in settings.items() if n not in ("fit", "model")}
            write_config(self.run, self.config.fit, record, step=step)
        if step is None:
            step = 0
            self._fill()
            self._save(step)
        return step

    def _fill(self) -> None:
        """Give the source trials of the fresh policy, which nothing rewards (Alg. 8, line 3)."""
        config = self.config.curriculum
        for number in range(-(-config.first_trials // self.config.fit.batch_size)):
            actions = self._generator("first", number, self.ranks.device)
            env = self.env
            if config.first_sticky > 0:
                repeats = self._generator("first", number, key=1)
                env = cast(BatchEnv, StickyEnv(env, config.first_sticky, repeats))
            reward = NoReward()
            trials = collect(env, self.policy, reward, config.episodes, actions)
            self.source.update(trials, reward, self._generator("absorb", 0, key=number))

    def _generator(
        self, purpose: str, step: int, device: torch.device | str = "cpu", *, key: int = 0
    ) -> torch.Generator:
        place = (PLACES[purpose], step, self.ranks.rank, key)
        return generator(self.config.fit.seed, *place, device=device)

    def _save(self, step: int) -> None:
        """Write the selected weights, then all that resuming needs."""
        tensors = self.validation.weights or self.trainer.average.whole()
        if self.ranks.is_first:
            checkpoint.save_tensors(tensors, self.run / checkpoint.WEIGHTS, step=step)
            if self._reward_stats is not None:
                write_reward_stats(self.run, self._reward_stats)
        checkpoint.save_state(self._state(), self.run, step, self.ranks)

    def _load(self, step: int) -> None:
        state = self._state()
        checkpoint.load_state(state, self.run, step, self.ranks)
        self.env.load_state_dict(state_dicts.part(state, f"{self._own}.env"))
        self.source.load_state_dict(state_dicts.part(state, f"{self._own}.source"))
        self.validation.load_state_dict(state_dicts.part(state, "validation"))

    @property
    def _reward_stats(self) -> RunningMeanStd | None:
        """What whitens the rewards of given tasks, where the agent learns such."""
        return self.source.reward_stats if isinstance(self.source, GivenTasks) else None

    @property
    def _own(self) -> str:
        return f"rank{self.ranks.rank}"

    def _state(self) -> dict[str, Tensor]:
        """Everything that changes, by name: the trainer's, and what each rank has for itself."""
        groups = {
            f"{self._own}.env": self.env.state_dict(),
            f"{self._own}.source": self.source.state_dict(),
            "validation": self.validation.state_dict(self.trainer),
        }
        return self.trainer.state() | state_dicts.join(groups)

    def _selected(self) -> Policy:
        policy = self.trainer.refresh_inference()
        assert isinstance(policy, Policy)
        if self.validation.weights is not None:
            checkpoint.load_tensors(policy, self.validation.weights, "selected weights")
        return policy

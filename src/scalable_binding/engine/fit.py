"""The training loop: any model, any loss, one process or many."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from scalable_binding import files, locks
from scalable_binding.atomic import explain_write_errors, write_text
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import CONFIG
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.distributed import distributed_session
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.engine.interruption import Interrupted, deferred_signals
from scalable_binding.engine.loading import EndlessDataset, batches
from scalable_binding.engine.log import Recorder
from scalable_binding.engine.trainer import Loss, Trainer
from scalable_binding.errors import UserError

HARMLESS = {"steps", "device", "fsdp", "num_workers", "log_every", "save_every"} | {
    "progress",
    "tensorboard",
}
"""Settings of ``fit`` that may change between a run and its resumption without a warning."""


@dataclass(frozen=True)
class Hook:
    """Something to do every so many steps, and after the last: pictures, validation.

    ``function(step, model, run)`` gets the averaged model in evaluation mode and the run folder,
    on the first rank only (the others wait) unless ``on_every_rank``, and may return figures for
    the log; those of the first rank are logged.
    """

    every: int
    function: Callable[[int, nn.Module, Path], Mapping[str, float] | None]
    on_every_rank: bool = False


def fit(
    model: nn.Module,
    loss: Loss,
    dataset: EndlessDataset,
    config: FitConfig,
    run: Path,
    *,
    hooks: Sequence[Hook] = (),
    resume: bool = True,
    record: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Train ``model`` in place and return its averaged copy, in evaluation mode.

    The same call in a folder that holds an unfinished run goes on from its last checkpoint, on the
    CPU to the same bits as if it had never stopped; under ``torchrun`` the ranks share the work.

    Args:
        model: takes part in training with those parameters that require a gradient.
        loss: ``loss(model, batch, generator)`` returns a scalar, the mean over its micro-batch, and
            metrics. The generator lives on the batch's device; it and torch's global generators
            start anew for each micro-batch, from seed, step and index.
        dataset: ``dataset[index]`` is a dict of tensors, for every index of at least 0.
        config: all settings.
        run: the folder for config.json, log.jsonl, model.safetensors and state/.
        hooks: what else to do on the way.
        resume: go on where the folder's run stopped; False refuses a folder with a run in it.
        record: what config.json holds beside the "fit" settings, in plain values: the model's
            arguments, for instance, so that they can be read back.

    Raises:
        Interrupted: SIGTERM or Ctrl-C came; the state is saved.
        UserError: a folder that cannot be written, is in use by another command or holds another
            model's run, a loss that is not finite, or a batch that cannot be shared out.
    """
    with explain_write_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    with (
        locks.exclusive(run),
        distributed_session(config.device) as ranks,
        deferred_signals() as request,
        Trainer(model, loss, config, ranks) as trainer,
    ):
        start = _prepare(trainer, run, resume, record)
        with Recorder(run, config, ranks, start=start) as recorder:
            for step, batch in enumerate(batches(dataset, config, ranks, start=start), start + 1):
                recorder.add(trainer.update(batch, step))
                stop = ranks.largest(request.signal)
                save = stop > 0 or is_due(step, config.save_every, config)
                if save or is_due(step, config.log_every, config):
                    recorder.report(step, lr=trainer.learning_rate(step))
                if save:
                    trainer.save(run, step)
                for hook in hooks:
                    if is_due(step, hook.every, config):
                        recorder.note(step, _call(hook, trainer, step, run))
                if stop and step < config.steps:
                    raise Interrupted(run, step, stop)
        return trainer.refresh_inference()


def is_due(step: int, every: int, config: FitConfig) -> bool:
    """Whether what is done every so many steps, and after the last, is due after this step."""
    return step % every == 0 or step == config.steps


def _call(hook: Hook, trainer: Trainer, step: int, run: Path) -> Mapping[str, float]:
    model = trainer.refresh_inference()
    runs = hook.on_every_rank or trainer.ranks.is_first
    figures = hook.function(step, model, run) if runs else None
    trainer.ranks.wait()
    return figures or {}


def _prepare(trainer: Trainer, run: Path, resume: bool, record: Mapping[str, Any] | None) -> int:
    """Make the run folder or take up the run in it; return the steps that are done."""
    step = checkpoint.sound_step(run, trainer.ranks)
    if step is not None and not resume:
        fix = "choose another folder, or remove this one"
        raise UserError(f"{run} already holds a run of {step} steps", fix=fix)
    if step is not None:
        trainer.load(run, step)
    if trainer.ranks.is_first:
        write_config(run, trainer.config, record, step=step)
    if step is None:
        step = 0
        trainer.save(run, step)
    return step


def write_config(
    run: Path, config: FitConfig, record: Mapping[str, Any] | None, *, step: int | None
) -> None:
    """Make the run folder and write its ``config.json``; warn if a resumed run's settings changed.

    Args:
        run: the folder.
        config: "fit" of what is written.
        record: the rest of it.
        step: at which a run is taken up, None for a fresh one. A run that has all its steps keeps
            the settings that it was made with.

    Raises:
        UserError: the folder cannot be written.
    """
    path = run / CONFIG
    with explain_write_errors(run):
        run.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**(record or {}), "fit": to_mapping(config)}, indent=2)
    is_done = step is not None and step >= config.steps
    if step is not None:
        is_sound = _warn_of_changes(path, json.loads(text), is_done=is_done)
        if is_sound and is_done:
            return
    write_text(path, text + "\n")


def _warn_of_changes(path: Path, now: dict[str, Any], *, is_done: bool) -> bool:
    """Say which settings differ from those of the run so far; whether these could be read."""
    try:
        before = dict(files.read_json(path))
    except (UserError, ValueError, TypeError):
        warnings.warn(f"{path} is missing or damaged; it is written anew", stacklevel=2)
        return False
    changed = sorted(set(_differences(before, now)) - {f"fit.{name}" for name in HARMLESS})
    if changed:
        what = "is done, and ignores" if is_done else "goes on with"
        text = f"{path.parent} {what} other settings than before: {', '.join(changed)}"
        warnings.warn(text, stacklevel=2)
    return True


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The dotted names of settings that are not the same."""
    for name in before.keys() | now.keys():
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            for inner in _differences(old, new):
                yield f"{name}.{inner}"
        elif old != new:
            yield name

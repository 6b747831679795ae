"""``sbind carml adapt``, ``finetune`` and ``evaluate``: what becomes of a trained agent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_target, write_json
from scalable_binding.cli.settings import SettingsOption, pairs
from scalable_binding.errors import UserError

Asked = Parameter(
    help="What is asked: goal=X,Y, object=N, own (the environment's own reward), or "
    "FILE.py:FUNCTION, a function of observations and the true state that returns rewards."
)


def adapt(
    run: Path,
    /,
    *,
    task: Annotated[str, Asked],
    trials: int = 16,
    episodes: int = 4,
    seed: int = 0,
    json: JsonOption = None,
) -> None:
    """Let an agent adapt to a task within a few episodes, without a gradient.

    Parameters
    ----------
    run
        Folder of a trained agent.
    trials
        Trials, each from a fresh start.
    episodes
        In a trial, through which the agent keeps what it has seen.
    seed
        Of worlds and actions.
    """
    _at_least("trials", trials, 1)
    _at_least("episodes", episodes, 1)
    if json is not None:
        prepare_target(json, overwrite=True)
    from scalable_binding.carml import inference

    found = inference.try_out(run, task, trials=trials, episodes=episodes, seed=seed)
    returns = found.returns.mean(0).tolist()
    results: dict[str, Any] = {"task": found.name, "trials": trials, "return": returns}
    if found.reached is not None:
        results["success"] = found.reached.double().mean(0).tolist()
    print(f"{found.name}: mean of {trials} trials")
    for number, value in enumerate(returns, start=1):
        share = (
            f", reached in {results['success'][number - 1]:.0%}"
            if found.reached is not None
            else ""
        )
        print(f"episode {number}: return {value:.4g}{share}")
    write_json(json, results)


def finetune(
    run: Path,
    /,
    *,
    out: Path,
    task: Annotated[str | None, Asked] = None,
    distribution: Annotated[bool, Parameter(negative="")] = False,
    part: Literal["policy", "encoder"] = "policy",
    updates: int | None = None,
    settings: SettingsOption = (),
) -> None:
    """Train an agent further, on one task or on the environment's distribution of tasks.

    Parameters
    ----------
    run
        Folder of the agent to start from.
    out
        Folder of the new run; one that was stopped goes on where it was.
    distribution
        Supervised meta-learning of the environment's training tasks, in place of --task.
    part
        Start from the whole policy, or from its encoder only.
    updates
        Of the agent; by default as many as the first run had.
    """
    if (task is not None) == distribution:
        got = "both" if distribution else "neither"
        raise UserError("what to train on", expected="--task or --distribution", got=got)
    if updates is not None:
        _at_least("updates", updates, 1)
    with keeping(f"the last checkpoint is in {out}; the same command goes on from there"):
        from scalable_binding.carml import inference

        inference.finetune(
            run, out, task=task, part=part, updates=updates, changes=dict(pairs(settings))
        )
    if os.environ.get("RANK", "0") == "0":
        print(f"agent: {out}")


def evaluate(
    run: Path,
    /,
    *,
    tasks: int = 200,
    split: Literal["train", "validation", "test"] = "test",
    seed: int = 0,
    report: Path | None = None,
    json: JsonOption = None,
) -> None:
    """Score an agent on test tasks that it has never seen, beside random actions.

    Parameters
    ----------
    run
        Folder of a trained agent.
    tasks
        How many, one trial each.
    split
        Which of the environment's tasks.
    seed
        Of tasks, worlds and actions.
    report
        HTML file to write: scores, curves, skill maps of each round, and adaptation to tasks.
    """
    _at_least("tasks", tasks, 2)
    if report is not None:
        prepare_target(report, overwrite=True)
    from scalable_binding.carml import evaluate as scoring
    from scalable_binding.carml import inference
    from scalable_binding.carml.given import read_moments

    moments = read_moments(run)
    config, policy = inference.read_config(run), inference.load(run)
    agents = {"agent": policy, "random": scoring.untrained(policy)}
    scores = {
        name: scoring.transfer(
            each, config, num_tasks=tasks, split=split, seed=seed, moments=moments
        )
        for name, each in agents.items()
    }
    for name, found in scores.items():
        print(f"{name}: reached, by episode: {', '.join(map(str, found.success))}")
        print(f"{name}: return, by episode: {', '.join(map(str, found.returns))}")
    write_json(json, {name: found.record() for name, found in scores.items()})
    if report is not None:
        from scalable_binding.cli.carml_report import write as write_report

        write_report(run, report, scores)
        print(f"report: {report}")


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        expected = f"a whole number of at least {least}"
        raise UserError(f"--{name}", expected=expected, got=str(value))

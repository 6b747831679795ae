"""``sbind carml evaluate``: score an agent on unseen tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from scalable_binding.cli.carml.options import _at_least
from scalable_binding.cli.outputs import JsonOption, prepare_target, write_json


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
    from scalable_binding.carml.task_rewards import read_reward_stats

    stats = read_reward_stats(run)
    config, policy = inference.read_config(run), inference.load(run)
    agents = {"agent": policy, "random": scoring.untrained(policy)}
    scores = {
        name: scoring.transfer(
            each, config, num_tasks=tasks, split=split, seed=seed, reward_stats=stats
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

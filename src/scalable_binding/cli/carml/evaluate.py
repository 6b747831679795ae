"""``sbind carml evaluate``: score an agent on unseen tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from scalable_binding.cli.carml.options import TrustOption, _at_least
from scalable_binding.cli.outputs import JsonOption, prepare_target, write_json


def evaluate(
    run: Path,
    /,
    *,
    tasks: int = 200,
    split: Literal["train", "validation", "test"] = "test",
    seed: int = 0,
    oracle: Path | None = None,
    trust: TrustOption = False,
    report: Path | None = None,
    json: JsonOption = None,
) -> None:
    """Evaluate an agent on unseen test tasks, beside controls.

    Controls: random actions, the reward of another task (swapped), no reward (zero), and an
    oracle, an agent trained on the environment's training tasks.

    Parameters
    ----------
    run
        Folder of a trained agent, or the name of one that ships (maze, room).
    tasks
        How many, one trial each.
    split
        Which of the environment's tasks.
    seed
        Of tasks, worlds and actions.
    oracle
        Run of an oracle (``sbind carml train --method oracle``); agents that ship may have one.
    report
        HTML file to write: scores, curves, skill maps of each round, and adaptation to tasks.
    """
    _at_least("tasks", tasks, 2)
    if report is not None:
        prepare_target(report, overwrite=True)
    from scalable_binding.carml import evaluate as scoring

    scores = scoring.compare(
        run, num_tasks=tasks, split=split, seed=seed, oracle=oracle, trust=trust
    )
    for name, found in scores.items():
        print(f"{name}: reached, by episode: {', '.join(map(str, found.success))}")
        print(f"{name}: return, by episode: {', '.join(map(str, found.returns))}")
    gains = {
        name: scoring.difference(scores["agent"], scores[name]) for name in ("random", "swapped")
    }
    for name, gain in gains.items():
        print(f"agent minus {name}, last episode: {gain}")
    results: dict[str, Any] = {name: found.record() for name, found in scores.items()}
    for name, gain in gains.items():
        results[f"agent minus {name}"] = {"success": gain.mean, "success_margin": gain.margin}
    write_json(json, results)
    if report is not None:
        from scalable_binding.report import carml as report_of_run

        report_of_run.write(run, report, scores)
        print(f"report: {report}")

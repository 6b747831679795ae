"""Train and score the agents of the presets; put one of them into the package.

    python -m benchmarks.carml.train room --out DIR [--seeds 0 1 2 3 4 5] [--tasks 400]
    python -m benchmarks.carml.train room --out DIR --ship [--oracle RUN]

Not run by make bench. Each seed is the run of ``sbind carml train --preset NAME``, in NAME-SEED;
one that was stopped goes on, and one that is scored is not scored again. Scores are the shares of
the environment's test tasks that were reached in each episode of a trial, nothing trained on them,
beside the controls of ``sbind carml evaluate``; differences in the last episode are paired task by
task, and their mean over seeds has Student's interval. With --ship the seed with the largest mean
return of the episodes after the first on fresh validation tasks goes into the package's weights,
with the first and the last round of its tasks, a card, and the oracle if there is one. A run of the
maze takes under a minute on one CPU core, one of the room under four.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.shipping import shipped_files
from scalable_binding import weights
from scalable_binding.atomic import write_text
from scalable_binding.carml import evaluate, round_files, skills, train
from scalable_binding.carml.task_rewards import REWARD_STATS
from scalable_binding.checksums import write_checksums
from scalable_binding.cli.settings import configure
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.plots import curves

FRESH = 1
"""Seed of the validation tasks that choose what ships; none of training's."""

QUANTILES = (math.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Of Student's distribution, .975, by degrees of freedom from 0."""

GAINS = ("random", "swapped")


def run_seed(name: str, seed: int, run: Path, num_tasks: int, changes: list[str]) -> dict[str, Any]:
    """Return the scores of a run, and the seconds of this process that it took."""
    path = run / "scores.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    settings = [f"fit.seed={seed}", "fit.progress=false", *changes]
    config = configure("carml", name, settings=settings)
    resumed, began = (run / "state").is_dir(), time.process_time()
    policy = train.train(config, run)
    seconds = None if resumed else round(time.process_time() - began)
    found = evaluate.compare(run, num_tasks=num_tasks)
    fresh = evaluate.transfer(policy, config, num_tasks=num_tasks, split="validation", seed=FRESH)
    scores = {
        "seed": seed,
        "cpu_seconds": seconds,
        "changes": changes,
        "transfer": {who: transfer.record() for who, transfer in found.items()},
        "gains": {
            who: dict(zip(("mean", "margin"), _pair(found, who), strict=True)) for who in GAINS
        },
        "validation": statistics.fmean(score.mean for score in fresh.returns[1:]),
        **timing.conditions(),
    }
    if name in ("maze", "room"):
        scores["skills"] = skills.rollout_round(run).figures
    write_text(path, json.dumps(scores, indent=2) + "\n")
    return scores


def _pair(found: dict[str, evaluate.Transfer], who: str) -> tuple[float, float]:
    score = evaluate.difference(found["agent"], found[who])
    return score.mean, score.margin


def row_of(scores: dict[str, Any]) -> dict[str, Any]:
    """One seed's line: success by episode, controls in the last, paired differences."""
    transfer, gains = scores["transfer"], scores["gains"]
    success = transfer["agent"]["success"]
    row = {"seed": scores["seed"], "CPU seconds": scores["cpu_seconds"]}
    row |= {f"episode {n}": f"{share:.3f}" for n, share in enumerate(success, start=1)}
    row["+-"] = f"{transfer['agent']['success_margin'][-1]:.3f}"
    for control in ("random", "swapped", "zero"):
        row[control] = f"{transfer[control]['success'][-1]:.3f}"
    for control, gain in gains.items():
        row[f"minus {control}"] = f"{gain['mean']:.3f} +- {gain['margin']:.3f}"
    row["validation return"] = f"{scores['validation']:.3f}"
    figures = scores.get("skills", {})
    return row | {name: f"{figure:.2f}" for name, figure in figures.items()}


def mean_row(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """The seeds' mean, with Student's interval of the differences over seeds."""
    success = [found["transfer"]["agent"]["success"] for found in scores]
    row: dict[str, Any] = {"seed": "mean"}
    for number, shares in enumerate(zip(*success, strict=True), start=1):
        row[f"episode {number}"] = f"{statistics.fmean(shares):.3f}"
    for control in ("random", "swapped", "zero"):
        shares = [found["transfer"][control]["success"][-1] for found in scores]
        row[control] = f"{statistics.fmean(shares):.3f}"
    for control in GAINS:
        mean, margin = over_seeds([found["gains"][control]["mean"] for found in scores])
        row[f"minus {control}"] = f"{mean:.3f} +- {margin:.3f}"
    return row


def over_seeds(values: list[float]) -> tuple[float, float]:
    """A mean and half its 95 % interval (Student, at most ten seeds)."""
    if len(values) < 2:
        return values[0], math.nan
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), QUANTILES[len(values) - 1] * error


def ship(name: str, scores: list[dict[str, Any]], out: Path, oracle: Path | None) -> None:
    """Copy the best run's weights, settings, first and last round into the package."""
    best = max(scores, key=lambda found: float(found["validation"]))
    run = out / f"{name}-{best['seed']}"
    folder = weights.ROOT / f"carml-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / round_files.FOLDER).mkdir(parents=True)
    for file in (WEIGHTS, CONFIG):
        shutil.copyfile(run / file, folder / file)
    first, *_, last = round_files.list_rounds(run) * 2
    for number in {first, last}:
        file = f"{round_files.FOLDER}/{number:02d}.safetensors"
        shutil.copyfile(run / file, folder / file)
    write_text(folder / "card.json", json.dumps(_card(name, best, len(scores)), indent=2) + "\n")
    if oracle is not None:
        (folder / evaluate.ORACLE).mkdir()
        for file in (WEIGHTS, CONFIG, REWARD_STATS):
            shutil.copyfile(oracle / file, folder / evaluate.ORACLE / file)
    for part in (folder, folder / evaluate.ORACLE):
        if part.is_dir():
            write_checksums(part, shipped_files(part))


def _card(name: str, best: dict[str, Any], num_seeds: int) -> dict[str, Any]:
    changes = [f"fit.seed={best['seed']}", *best["changes"]]
    command = ["sbind carml train --preset", name, "--run RUN", *(f"--set {c}" for c in changes)]
    return {
        "name": f"carml-{name}",
        "data": f"the environment '{name}', drawn by this package; no rewards",
        "license": "weights: Apache-2.0",
        "command": " ".join(command),
        "commit": best["commit"],
        "cpu_seconds": best["cpu_seconds"],
        "note": f"Of {num_seeds} seeds this is seed {best['seed']}, the one with the "
        "largest mean return after the first episode on fresh validation tasks. "
        "Scores are of test tasks",
        "score": row_of(best),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("name", choices=("maze", "room", "vizdoom-small", "sawyer-small"))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--tasks", type=int, default=400, help="test tasks")
    options.add_argument("--set", nargs="*", default=[], help="NAME=VALUE over the preset")
    options.add_argument("--ship", action="store_true")
    options.add_argument("--oracle", type=Path, help="run of an oracle that ships beside it")
    asked = options.parse_args()
    scores = [
        run_seed(asked.name, seed, asked.out / f"{asked.name}-{seed}", asked.tasks, asked.set)
        for seed in asked.seeds
    ]
    print(curves.table([row_of(found) for found in scores]))
    print(curves.table([mean_row(scores)]))
    if asked.ship:
        ship(asked.name, scores, asked.out, asked.oracle)


if __name__ == "__main__":
    main()

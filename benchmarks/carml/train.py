"""Train and score the agents of the presets; put the one of the room into the package.

    python -m benchmarks.carml.train room --out DIR [--seeds 0 1 2] [--tasks 200] [--ship]
    python -m benchmarks.carml.train maze --out DIR [--seeds 0 1 2]

Not run by make bench. Each seed is the run of ``sbind carml train --preset NAME``, in NAME-SEED;
one that was stopped goes on, and one that is scored is not scored again. Scores are the shares of
the environment's test tasks that were reached in each episode of a trial, with nothing trained on
them, beside the same network acting at random. With --ship the seed that did best on validation
tasks goes into the package's weights, with the first and the last round of its tasks and a card.
A run of the maze takes under a minute on one CPU core, one of the room under two.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks import timing
from scalable_binding import weights
from scalable_binding.atomic import write_text
from scalable_binding.carml import evaluate, round_files, skills, train
from scalable_binding.cli.settings import configure
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.engine.log import read_log
from scalable_binding.plots import curves

WEIGHTS_FOLDER = weights.ROOT


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
    found = evaluate.transfer(policy, config, num_tasks=num_tasks)
    blind = evaluate.transfer(evaluate.untrained(policy), config, num_tasks=num_tasks)
    scores = {
        "seed": seed,
        "cpu_seconds": seconds,
        "changes": changes,
        "transfer": found.record(),
        "random": blind.record(),
        "validation": max(line["solved_4"] for line in read_log(run) if "solved_4" in line),
        **timing.conditions(),
    }
    if name in ("maze", "room"):
        scores["skills"] = skills.rollout_round(run).figures
    write_text(path, json.dumps(scores, indent=2) + "\n")
    return scores


def row_of(scores: dict[str, Any]) -> dict[str, Any]:
    row = {"seed": scores["seed"], "CPU seconds": scores["cpu_seconds"]}
    success = scores["transfer"]["success"]
    row |= {f"episode {n}": f"{share:.3f}" for n, share in enumerate(success, start=1)}
    row["+-"] = f"{scores['transfer']['success_margin'][-1]:.3f}"
    row["random, last episode"] = f"{scores['random']['success'][-1]:.3f}"
    row["validation"] = f"{scores['validation']:.3f}"
    figures = scores.get("skills", {})
    return row | {name: f"{figure:.2f}" for name, figure in figures.items()}


def ship(name: str, scores: dict[str, Any], run: Path) -> None:
    """Copy a run's weights, settings, first and last round into the package, with a card."""
    folder = WEIGHTS_FOLDER / f"carml-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / round_files.FOLDER).mkdir(parents=True)
    for file in (WEIGHTS, CONFIG):
        shutil.copy(run / file, folder / file)
    first, *_, last = round_files.list_rounds(run) * 2
    for number in {first, last}:
        file = f"{round_files.FOLDER}/{number:02d}.safetensors"
        shutil.copy(run / file, folder / file)
    changes = [f"fit.seed={scores['seed']}", *scores["changes"]]
    command = ["sbind carml train --preset", name, "--run RUN", *(f"--set {c}" for c in changes)]
    card = {
        "name": folder.name,
        "data": f"the environment '{name}', drawn by this package; no rewards",
        "license": "weights: Apache-2.0",
        "command": " ".join(command),
        "commit": scores["commit"],
        "cpu_seconds": scores["cpu_seconds"],
        "score": row_of(scores),
    }
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("name", choices=("maze", "room", "vizdoom-small", "sawyer-small"))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--tasks", type=int, default=200, help="test tasks")
    options.add_argument("--set", nargs="*", default=[], help="NAME=VALUE over the preset")
    options.add_argument("--ship", action="store_true")
    asked = options.parse_args()
    runs = {seed: asked.out / f"{asked.name}-{seed}" for seed in asked.seeds}
    scores = {
        seed: run_seed(asked.name, seed, run, asked.tasks, asked.set) for seed, run in runs.items()
    }
    print(curves.table([row_of(found) for found in scores.values()]))
    if asked.ship:
        best = max(scores, key=lambda seed: float(scores[seed]["validation"]))
        ship(asked.name, scores[best], runs[best])


if __name__ == "__main__":
    main()

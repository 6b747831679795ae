"""Train and score the small networks that ship, one seed or several.

    python -m benchmarks.rin.train digits --out DIR [--seeds 0 1 2] [--ship]
    python -m benchmarks.rin.train moving-digits --out DIR [--seeds 0] [--ship]

Not run by make bench. Each seed is the run of ``sbind rin train --preset NAME``, in NAME-SEED;
one that was stopped goes on, and one that is scored is not scored again. With --ship the seed with
the least Frechet distance goes into the package's weights, with a card. A run of digits takes some
five to eight minutes on one CPU core, one of moving digits some two hours.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.shipping import ship
from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure
from scalable_binding.engine.config import override
from scalable_binding.plots import curves
from scalable_binding.rin import evaluate, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.inference import load
from scalable_binding.rin.pretrained import SHIPPED
from scalable_binding.rin.sampling_config import SamplingConfig

LICENSE = "digits: UCI optical recognition of handwritten digits, CC BY 4.0; weights: Apache-2.0"
DATA = {
    "digits": "scikit-learn's 8 x 8 digits, the 1,400 of the split 'train'",
    "moving-digits": "moving digits of scikit-learn's 8 x 8 digits, the split 'train'",
}
GUIDANCE = 2.0
SPENT = "cpu_seconds.txt"
"""File in a run with the seconds of processors that its training has taken."""


def train_timed(config: RINConfig, run: Path, data: Sequence[Path] = ()) -> None:
    """Train, and add the seconds of this process to those that the run has taken before."""
    path, began = run / SPENT, time.process_time()
    before = float(path.read_text(encoding="utf-8")) if path.is_file() else 0.0
    try:
        train.train(config, data, run)
    finally:
        write_text(path, f"{before + time.process_time() - began:.1f}\n")


def run_seed(name: str, seed: int, run: Path, num: int, changes: list[str]) -> dict[str, Any]:
    """Return the scores of a run, and the seconds of processors that its training took."""
    path = run / "scores.json"
    if path.is_file():
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
        if kept["changes"] != changes:
            raise SystemExit(f"{run} has other settings: {kept['changes']}; give another --out")
        return kept
    config = configure("rin", name, settings=changes)
    config = override(config, {"fit.seed": seed, "fit.progress": False})
    train_timed(config, run)
    seconds = round(float((run / SPENT).read_text(encoding="utf-8")))
    sampling = SamplingConfig(steps=config.sample_steps)
    result = evaluate.evaluate(run, (), EvaluationConfig(num=num), sampling)
    kept = ("loss", "scores", "yardstick", "forecasts")
    scores = {"seed": seed, "cpu_seconds": seconds, "changes": changes}
    scores |= timing.conditions()
    scores |= {part: result[part] for part in kept if part in result}
    if config.diffusion.label_dropout > 0:
        led = replace(sampling, guidance=GUIDANCE)
        guided = evaluate.evaluate(run, (), EvaluationConfig(num=num), led)
        scores["guided"] = guided["scores"]
    write_text(path, json.dumps(scores, indent=2) + "\n")
    return scores


def row_of(scores: dict[str, Any]) -> dict[str, Any]:
    row = {"seed": scores["seed"], "CPU seconds": scores["cpu_seconds"]}
    row["held-out loss"] = scores["loss"]["mean"]
    if "scores" in scores:
        row["Frechet distance"] = scores["scores"]["frechet"]
        row["class accuracy"] = scores["scores"]["class_accuracy"]
        row["Frechet distance, guidance 2"] = scores["guided"]["frechet"]
        row["class accuracy, guidance 2"] = scores["guided"]["class_accuracy"]
        row["train against held-out"] = scores["yardstick"]["frechet"]
    for kind, figures in scores.get("forecasts", {}).items():
        row[f"mse, {kind}"] = figures["mse"]
        row[f"Frechet video distance, {kind}"] = figures.get("frechet_video")
    return row


def distance_of(scores: dict[str, Any]) -> float:
    if "scores" in scores:
        return float(scores["scores"]["frechet"])
    return float(scores["forecasts"]["predicted"]["frechet_video"])


def card_of(name: str, scores: dict[str, Any]) -> dict[str, Any]:
    command = [f"sbind rin train --preset {name} --run RUN --fit.seed {scores['seed']}"]
    command += [f"--set {change}" for change in scores["changes"]]
    steps, schedule = configure("rin", name).sample_steps, SamplingConfig().schedule
    return {
        "name": f"rin-{name}",
        "data": DATA[name],
        "license": LICENSE,
        "command": " ".join(command),
        "cpu_seconds": scores["cpu_seconds"],
        "sampling": f"DDPM, {steps} steps, {schedule} schedule",
        "score": row_of(scores),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("name", choices=tuple(DATA))
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--num", type=int, default=1000, help="samples to score")
    options.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="over the preset",
    )
    options.add_argument("--ship", action="store_true")
    arguments = options.parse_args()
    runs = {seed: arguments.out / f"{arguments.name}-{seed}" for seed in arguments.seeds}
    scores = {
        seed: run_seed(arguments.name, seed, run, arguments.num, arguments.settings)
        for seed, run in runs.items()
    }
    print(curves.table([row_of(found) for found in scores.values()]))
    if arguments.ship:
        best = min(scores, key=lambda seed: distance_of(scores[seed]))
        card = card_of(arguments.name, scores[best])
        ship(load(runs[best]).model, runs[best], SHIPPED / card["name"], card)


if __name__ == "__main__":
    main()

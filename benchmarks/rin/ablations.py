"""What self-conditioning, rounds of routing, patches and schedules are worth, on a CPU's scale.

    python -m benchmarks.rin.ablations STUDY --out DIR [--preset digits] [--steps 1300] [--seeds 3]

A recipe, not run by make bench: on digits some three minutes a run on one core, and a run for each
value and seed. STUDY is self-conditioning, rounds, patch, schedule or temperature (Fig. 2.8 and
2.13); "all" takes one after the other. --preset may be digits, shapes64 or moving-digits. Each
study leaves STUDY.md and STUDY.json in DIR: held-out loss and, where there is a feature network,
the Frechet distance of samples (or of predicted videos), mean and deviation over seeds. A run that
is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import timing
from scalable_binding.cli.settings import configure
from scalable_binding.engine.atomic import write_text
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.plots import curves
from scalable_binding.rin import counting, evaluate, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.sampling_config import SamplingConfig

Changes = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question: the settings to train with by name, and how to sample, the usual way first."""

    training: Mapping[str, Changes]
    sampling: Mapping[str, Changes]


MOST_ROUNDS = 4

USUAL: dict[str, Changes] = {"cosine": {"schedule": "cosine"}}

STUDIES = {
    "self-conditioning": Study(
        training={f"rate {rate}": {"diffusion.self_conditioning": rate} for rate in (0, 0.5, 0.9)},
        sampling=USUAL,
    ),
    "schedule": Study(
        training={name: {"diffusion.schedule": name} for name in ("cosine", "sigmoid", "linear")},
        sampling={name: {"schedule": name} for name in ("cosine", "sigmoid", "linear")},
    ),
    "temperature": Study(
        training={f"tau {tau}": {"diffusion.temperature": tau} for tau in (0.5, 0.7, 0.9, 1.1)},
        sampling=USUAL,
    ),
}
"""Those that need nothing of the network; see :func:`study_of` for the others."""


def study_of(name: str, config: RINConfig) -> Study:
    """Return the study of that name for a network of these settings."""
    if name == "rounds":
        return Study(training=_rounds(config), sampling=USUAL)
    if name == "patch":
        *first, height, width = config.model.patch
        patches = {
            f"{height // 2} x {width // 2}": [*first, height // 2, width // 2],
            f"{height} x {width}": [*first, height, width],
            f"{height * 2} x {width * 2}": [*first, height * 2, width * 2],
        }
        changes = {text: {"model.patch": patch} for text, patch in patches.items()}
        return Study(training=changes, sampling=USUAL)
    return STUDIES[name]


def _rounds(config: RINConfig) -> dict[str, Changes]:
    """One, two and four rounds of reading and writing, with as many layers as cost the same.

    What four rounds of one layer cost is filled up with layers where rounds are fewer.
    """

    def cost(changes: Changes) -> int:
        return counting.count(override(config, changes).model).multiply_adds

    def settings(blocks: int, layers: int) -> Changes:
        return {"model.num_blocks": blocks, "model.num_layers": layers}

    made = {f"{MOST_ROUNDS} rounds of 1 layer": settings(MOST_ROUNDS, 1)}
    goal = cost(settings(MOST_ROUNDS, 1))
    for blocks in (2, 1):
        least = cost(settings(blocks, 0))
        layers = round((goal - least) / (cost(settings(blocks, 1)) - least))
        share = cost(settings(blocks, layers)) / goal
        made[f"{blocks} of {layers} ({share:.2f} of the cost)"] = settings(blocks, layers)
    return made


def score(config: RINConfig, run: Path, sampling: Mapping[str, Changes], num: int) -> Changes:
    """Return loss and distances of a run, trained and scored unless that has been done."""
    path = run / "scores.json"
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    train.train(config, [], run)
    found: Changes = {}
    for name, changes in sampling.items():
        settings = override(SamplingConfig(steps=config.sample_steps), changes)
        result = evaluate.evaluate(run, (), EvaluationConfig(num=num), settings)
        found["held-out loss"] = result["loss"]["mean"]
        forecast = result.get("forecasts", {}).get("predicted", {})
        distance = result.get("scores", {}).get("frechet", forecast.get("frechet_video"))
        if distance is not None:
            found[f"Frechet distance, sampled with {name}"] = distance
    write_text(path, json.dumps(found, indent=2) + "\n")
    return found


def summarise(scores: list[Changes]) -> Changes:
    """Return mean and deviation over seeds of each figure."""
    row = {}
    for name in scores[0]:
        values = [found[name] for found in scores]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        row[name] = f"{statistics.mean(values):.3f}{spread}"
    return row


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [*STUDIES, "rounds", "patch"]
    options.add_argument("study", choices=[*names, "all"])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--preset", default="digits")
    options.add_argument("--steps", type=int, default=1300)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--num", type=int, default=1000, help="samples to score")
    arguments = options.parse_args()
    base = override(
        configure("rin", arguments.preset),
        {"fit.steps": arguments.steps, "fit.progress": False, "sample_every": 0}
        | {"fit.save_every": arguments.steps, "validate_every": 0},
    )
    for study in names if arguments.study == "all" else [arguments.study]:
        rows, plan = [], study_of(study, base)
        for number, (name, changes) in enumerate(plan.training.items()):
            found = []
            for seed in range(arguments.seeds):
                run = arguments.out / "runs" / f"{arguments.preset}-{study}-{number}-{seed}"
                config = override(base, {**changes, "fit.seed": seed})
                found.append(score(config, run, plan.sampling, arguments.num))
            rows.append({study: name, **summarise(found)})
        facts = {"preset": arguments.preset, "seeds": arguments.seeds, "steps": arguments.steps}
        facts |= {"config": to_mapping(base), **timing.conditions()}
        write_text(arguments.out / f"{study}.json", json.dumps({"rows": rows, **facts}, indent=2))
        write_text(arguments.out / f"{study}.md", curves.table(rows))
        print(curves.table(rows))


if __name__ == "__main__":
    main()

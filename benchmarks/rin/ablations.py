"""What self-conditioning, rounds of routing, patches and schedules are worth, on a CPU's scale.

    python -m benchmarks.rin.ablations STUDY --out DIR [--preset digits] [--steps 1300] [--seeds 3]
                                       [--set NAME=VALUE ...]

Not run by make bench: on digits some two minutes a run on one core, and a run for each value and
seed. STUDY is self-conditioning, rounds, patch, schedule or temperature (Fig. 2.8 and
2.13); "all" takes one after the other. --preset may be digits, shapes64 or moving-digits. Each
study leaves STUDY.md, STUDY.json and STUDY.png in DIR: held-out loss and, where there is a feature
network, the Frechet distance of samples (or of predicted videos), mean and deviation over seeds.
--set changes the preset, to a narrower network say. A run that is done is not done again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import timing
from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure, pairs
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.plots import curves
from scalable_binding.rin import evaluate, flops, train
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
        return flops.count(override(config, changes).model).multiply_adds

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


def digest(config: RINConfig) -> str:
    """Return what tells a run's folder apart from those of other settings."""
    return hashlib.sha256(json.dumps(to_mapping(config)).encode()).hexdigest()[:8]


def over_seeds(scores: list[Changes]) -> dict[str, tuple[float, float]]:
    """Return mean and deviation over seeds of each figure."""
    found = {}
    for name in scores[0]:
        values = [one[name] for one in scores]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        found[name] = (statistics.mean(values), spread)
    return found


def panels_of(study: str, scores: Mapping[str, list[Changes]]) -> list[curves.Panel]:
    """Return a panel for each figure: its mean, and a deviation on either side."""
    figures = {name: over_seeds(found) for name, found in scores.items()}
    return [
        curves.Panel(
            curves=[
                curves.Curve(
                    label="mean over seeds",
                    x=[*figures],
                    y=[found[figure][0] for found in figures.values()],
                    spread=[found[figure][1] for found in figures.values()],
                )
            ],
            title=figure,
            x_label=study,
        )
        for figure in next(iter(figures.values()))
    ]


def study_one(study: str, base: RINConfig, out: Path, *, preset: str, seeds: int, num: int) -> None:
    """Run a study as far as it is not done, and write what came of it."""
    plan = study_of(study, base)
    scores: dict[str, list[Changes]] = {name: [] for name in plan.training}
    for number, (name, changes) in enumerate(plan.training.items()):
        for seed in range(seeds):
            config = override(base, {**changes, "fit.seed": seed})
            run = out / "runs" / f"{preset}-{study}-{number}-{seed}-{digest(config)}"
            scores[name].append(score(config, run, plan.sampling, num))
            print(name, seed, scores[name][-1], flush=True)
    rows = [
        {study: name, **{k: f"{m:.3f} ± {d:.3f}" for k, (m, d) in over_seeds(found).items()}}
        for name, found in scores.items()
    ]
    facts = {"preset": preset, "config": to_mapping(base), **timing.conditions()}
    text = json.dumps({"rows": rows, "scores": scores, **facts}, indent=2)
    write_text(out / f"{study}.json", text + "\n")
    write_text(out / f"{study}.md", curves.table(rows) + "\n")
    curves.save(out / f"{study}.png", panels_of(study, scores), dpi=80)
    print(curves.table(rows))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = [*STUDIES, "rounds", "patch"]
    options.add_argument("study", choices=[*names, "all"])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--preset", default="digits")
    options.add_argument("--steps", type=int, default=1300)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--num", type=int, default=1000, help="samples to score")
    options.add_argument("--set", nargs="*", default=[], help="settings over those of the preset")
    arguments = options.parse_args()
    base = override(
        configure("rin", arguments.preset),
        {"fit.steps": arguments.steps, "fit.progress": False, "sample_every": 0}
        | {"fit.save_every": arguments.steps, "validate_every": 0}
        | pairs(arguments.set),
    )
    for study in names if arguments.study == "all" else [arguments.study]:
        study_one(
            study,
            base,
            arguments.out,
            preset=arguments.preset,
            seeds=arguments.seeds,
            num=arguments.num,
        )


if __name__ == "__main__":
    main()

"""What path length, edge dropout, frame rate, context, neighbors and radius are worth.

    python -m benchmarks.crw.ablations path-length --out DIR    (likewise edge-dropout, frame-rate,
    python -m benchmarks.crw.ablations all --out DIR             propagation)

Not run by make bench: some 35 minutes on one core for all four studies with one seed. A
narrow encoder learns for a minute or two a point from the synthetic world (and the videos of
--clips), and is scored by J&F on held-out synthetic scenes (and on --davis ROOT). Each study leaves
STUDY.md, STUDY.json and STUDY.png in DIR; a run that is done is not done again.

Source: Thesis Fig. 3.5, sections 3.7.4 and 3.7.7.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.crw.ablations import sweep
from benchmarks.crw.ablations.sweep import Scores, Sweep
from scalable_binding.crw import model
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.plots import curves
from scalable_binding.plots.curves import Curve, Panel


@dataclass(frozen=True, kw_only=True)
class Study:
    """One setting of training and the values it takes.

    Args:
        setting: its dotted name.
        noun: what it is, for plots and tables.
        values: to train with.
    """

    setting: str
    noun: str
    values: tuple[float, ...]


STUDIES = {
    "path-length": Study(setting="clips.num_frames", noun="frames in a clip", values=(2, 4, 6, 10)),
    "edge-dropout": Study(
        setting="walk.edge_dropout", noun="edge dropout", values=(0.0, 0.05, 0.1, 0.2, 0.3)
    ),
    "frame-rate": Study(
        setting="clips.fps", noun="frames a second", values=(2.0, 4.0, 8.0, 24.0, math.inf)
    ),
}

PROPAGATION = {
    "context": (1, 2, 4, 7, 10, 20),
    "neighbors": (1, 5, 10, 20, 40),
    "radius": (2.0, 4.0, 8.0, 12.0, 20.0, math.inf),
}
"""Values of m, k and r; the other two stay at the thesis' values."""


def study_training(name: str, study: Study, runs: Sweep, seeds: int) -> dict[str, Any]:
    """Train with every value and write what came of it."""
    found: dict[float, list[list[Scores]]] = {}
    for value in study.values:
        found[value] = [runs.train({study.setting: value}, seed) for seed in range(seeds)]
        last = [scores[-1]["J&F"] for scores in found[value]]
        print(f"{study.noun} {value:g}: J&F {_several(last)}", flush=True)
    starts = [scores[0]["J&F"] for scores in found[study.values[0]]]
    levels = {
        "random weights": statistics.mean(starts),
        "raw patches": runs.score(model.RawPatches())["J&F"],
    }
    rows = [_row(study.noun, value, per_seed) for value, per_seed in found.items()]
    rows += [{study.noun: name, "J&F": level} for name, level in levels.items()]
    runs_found = {f"{value:g}": per_seed for value, per_seed in found.items()}
    panels = [_ends(study, found, levels), _ways(study, found)]
    return {"rows": rows, "panels": panels, "runs": runs_found}


def study_propagation(runs: Sweep) -> dict[str, Any]:
    """Score raw patches, random weights and the base run with every context, k and r."""
    runs.train({}, 0)
    encoders = {
        "raw patches": model.RawPatches(),
        "random weights": runs.untrained(),
        "trained": model.load(runs.run_folder({}, 0)),
    }
    rows, panels = [], []
    for setting, values in PROPAGATION.items():
        lines: dict[str, list[float]] = {name: [] for name in encoders}
        for value in values:
            config = override(PropagationConfig(), {setting: value})
            scores = {name: runs.score(encoder, config) for name, encoder in encoders.items()}
            for label, score in scores.items():
                lines[label].append(score["J&F"])
            of_each = {label: score["J&F"] for label, score in scores.items()}
            rows.append({"setting": setting, "value": f"{value:g}", **of_each})
            print(f"{setting} {value:g}: {of_each}", flush=True)
        x = [f"{value:g}" for value in values]
        drawn = [Curve(label=label, x=x, y=y) for label, y in lines.items()]
        panels.append(Panel(curves=drawn, x_label=setting, y_label="J&F"))
    return {"rows": rows, "panels": panels, "propagation": to_mapping(PropagationConfig())}


def _row(noun: str, value: float, per_seed: list[list[Scores]]) -> dict[str, Any]:
    """The table's row for one value: means over seeds at the end of training."""
    ends = [scores[-1] for scores in per_seed]
    row: dict[str, Any] = {noun: f"{value:g}"}
    for name in ("J&F", "J_mean", "F_mean", "DAVIS J&F", "loss", "return accuracy"):
        if name in ends[0]:
            row[name] = statistics.mean(end[name] for end in ends)
        if name == "J&F" and len(ends) > 1:
            row["from - to"] = (
                f"{min(e[name] for e in ends):.3f} - {max(e[name] for e in ends):.3f}"
            )
    seconds = [sum(stage["cpu_seconds"] for stage in scores) for scores in per_seed]
    row["CPU s a run"] = round(statistics.mean(seconds))
    return row


def _ends(
    study: Study, found: Mapping[float, list[list[Scores]]], levels: Mapping[str, float]
) -> Panel:
    """J&F at the end against the setting; the band goes from the worst seed to the best."""
    ends = [[scores[-1]["J&F"] for scores in per_seed] for per_seed in found.values()]
    curve = Curve(
        label="trained",
        x=[f"{value:g}" for value in found],
        y=[(min(own) + max(own)) / 2 for own in ends],
        spread=[(max(own) - min(own)) / 2 for own in ends],
    )
    return Panel(curves=[curve], x_label=study.noun, y_label="J&F", levels=levels)


def _ways(study: Study, found: Mapping[float, list[list[Scores]]]) -> Panel:
    """J&F against training steps, a line for each value: means over seeds."""
    lines = []
    for value, per_seed in found.items():
        stages = list(zip(*per_seed, strict=True))
        y = [statistics.mean(scores["J&F"] for scores in stage) for stage in stages]
        lines.append(Curve(label=f"{value:g}", x=[stage[0]["step"] for stage in stages], y=y))
    return Panel(curves=lines, x_label="training steps", y_label="J&F", title=study.noun)


def _several(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def write(out: Path, name: str, result: dict[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a study's table, plot, and all its figures."""
    panels = result.pop("panels")
    (out / f"{name}.md").write_text(curves.table(result["rows"]), encoding="utf-8")
    text = json.dumps({**facts, **result}, indent=1)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    curves.save(out / f"{name}.png", panels, title=name.replace("-", " "), dpi=100)
    print(f"{out / name}.md, .json, .png", flush=True)


def run(arguments: argparse.Namespace) -> None:
    scale = sweep.quick() if arguments.quick else sweep.narrow()
    settings = dict(pair.split("=", 1) for pair in arguments.settings)
    scale = replace(scale, config=override(scale.config, settings))
    davis, sequences = arguments.davis, arguments.sequences
    runs = Sweep(scale, arguments.out, clips=arguments.clips, davis=davis, sequences=sequences)
    arguments.out.mkdir(parents=True, exist_ok=True)
    facts = {**timing.conditions(), "seeds": arguments.seeds, "config": to_mapping(scale.config)}
    for name in (*STUDIES, "propagation") if arguments.study == "all" else (arguments.study,):
        if name == "propagation":
            result = study_propagation(runs)
        else:
            result = study_training(name, STUDIES[name], runs, arguments.seeds)
        write(arguments.out, name, result, facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=[*STUDIES, "propagation", "all"])
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--seeds", type=int, default=1, help="runs of every point")
    parser.add_argument(
        "--clips", type=Path, nargs="*", default=[], help="folders of videos to train on as well"
    )
    parser.add_argument("--davis", type=Path, help="DAVIS root to score on as well")
    parser.add_argument("--sequences", nargs="*", help="of DAVIS; all by default")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", dest="settings", help="of every run"
    )
    parser.add_argument("--quick", action="store_true", help="seconds in all: does it work?")
    try:
        run(parser.parse_args())
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()

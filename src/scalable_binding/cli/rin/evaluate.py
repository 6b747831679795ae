"""``sbind rin evaluate``: score a network and its samples against data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, hold_folder, keeping, write_json
from scalable_binding.cli.rin.options import RunArgument, SamplingOptions
from scalable_binding.rin.evaluation_config import EvaluationConfig

EvaluationOptions = Annotated[EvaluationConfig | None, Parameter(name="*")]


def evaluate(
    run: RunArgument,
    /,
    *data: Path,
    evaluation: EvaluationOptions = None,
    sampling: SamplingOptions = None,
    json: JsonOption = None,
) -> None:
    """Score a network: loss by level of noise, samples against real data, predicted futures.

    Parameters
    ----------
    data
        Folders, ZIP archives or tar shards that the network was not trained on; none for the
        presets that draw their data.
    """
    config = evaluation or EvaluationConfig()
    kept = "nothing was kept, since --out was not given"
    if config.out is not None:
        hold_folder(config.out)
    with keeping(kept if config.out is None else f"the samples drawn so far are in {config.out}"):
        from rich.console import Console
        from rich.progress import Progress

        from scalable_binding.rin import evaluate as evaluation_of

        with Progress(console=Console(stderr=True), transient=True) as progress:
            tasks: dict[str, Any] = {}

            def tick(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = progress.add_task(what)
                progress.update(tasks[what], completed=done, total=total)

            results = evaluation_of.evaluate(run, data, config, sampling, tick=tick)
    show(results)
    write_json(json, results)


def show(results: Mapping[str, Any]) -> None:
    """Print the scores, and by which features they were made."""
    loss = results["loss"]
    _print("held-out loss", loss["mean"])
    for level in loss["by_level"]:
        _print(f"  at times {level['from_time']:.1f} to {level['to_time']:.1f}", level["loss"])
    for name, value in results.get("scores", {}).items():
        _print(name.replace("_", " "), value)
    for name, value in results.get("yardstick", {}).items():
        _print(f"{name} of training data", value)
    for name, found in results.get("forecasts", {}).items():
        figures = {key: value for key, value in found.items() if key != "mse_by_frame"}
        print(f"{name.replace('_', ' '):32}", *(f"{k} {v:.4g}" for k, v in figures.items()))
    features = results["features"]
    if features is None:
        print("samples are not compared: no feature network of this size ships; see --features")
    else:
        print(f"features: {features['name']} ({features['note']})")


def _print(name: str, value: float) -> None:
    print(f"{name:32} {value:.4g}")

"""``sbind flow evaluate``: score a flow network on a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from scalable_binding.cli.flow.options import WeightsOption
from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    write_json,
)


def evaluate(
    benchmark: Literal["synthetic", "sintel", "sintel-clean", "kitti", "chairs"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    limit: int | None = None,
    json: JsonOption = None,
) -> None:
    """Score a network by how far its flow is from the truth.

    Parameters
    ----------
    benchmark
        Data and protocol; 'sintel' is its final pass.
    root
        Folder in the benchmark's official layout; 'synthetic' needs none.
    limit
        Score this many pairs only, the first ones.
    """
    with keeping("nothing was kept"):
        from scalable_binding.flow import evaluate as evaluation

        scores = evaluation.evaluate(benchmark, root, weights=weights, limit=limit)
    still = scores["zero flow"]
    print(f"{scores['pairs']} pairs    {'network':>9} {'zero flow':>9}")
    for name, value in scores["scores"].items():
        beside = f"{still[name]:9.3f}" if name in still else f"{'-':>9}"
        print(f"{name:14} {value:9.3f} {beside}")
    write_json(json, scores)

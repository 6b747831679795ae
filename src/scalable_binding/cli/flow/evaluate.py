"""``sbind flow evaluate``: score a flow network, or its point tracks, on a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from scalable_binding.cli.flow.options import WeightsOption
from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    write_json,
)


def evaluate(
    benchmark: Literal[
        "synthetic", "sintel", "sintel-clean", "kitti", "chairs", "synthetic-tracks", "tap-vid"
    ],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    limit: int | None = None,
    json: JsonOption = None,
) -> None:
    """Score a network by how far its flow, or its point tracks, are from the truth.

    Parameters
    ----------
    benchmark
        Data and protocol; 'sintel' is its final pass. 'synthetic-tracks' and 'tap-vid' score
        points that are followed through videos.
    root
        Folder in the benchmark's official layout; TAP-Vid's .pkl file, or .npz files with its
        arrays. 'synthetic' and 'synthetic-tracks' need none.
    limit
        Score this many pairs or videos only, the first ones.
    """
    with keeping("nothing was kept"):
        if benchmark in ("synthetic-tracks", "tap-vid"):
            from scalable_binding.flow import evaluate_tracks as track_evaluation

            scores = track_evaluation.evaluate_tracks(benchmark, root, weights=weights, limit=limit)
            _show(scores, "videos", "nothing moves")
        else:
            from scalable_binding.flow import evaluate as evaluation

            scores = evaluation.evaluate(benchmark, root, weights=weights, limit=limit)
            _show(scores, "pairs", "zero flow")
    write_json(json, scores)


def _show(scores: Mapping[str, Any], counted: str, baseline: str) -> None:
    still = scores[baseline]
    print(f"{scores[counted]:4} {counted:13} {'network':>9} {baseline:>13}")
    for name, value in scores["scores"].items():
        beside = f"{still[name]:13.3f}" if name in still else f"{'-':>13}"
        print(f"{name:18} {value:9.3f} {beside}")

"""``sbind permanence evaluate``: score a tracker on hidden objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    write_json,
)
from scalable_binding.cli.permanence.options import WeightsOption
from scalable_binding.errors import UserError
from scalable_binding.permanence.presets import TrackingConfig

STATES = ("visible", "occluded", "contained", "carried", "hidden")


def evaluate(
    benchmark: Literal["synthetic", "la-cater"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    memoryless: str | None = None,
    num: int = 8,
    tracking: Annotated[TrackingConfig | None, Parameter(name="*")] = None,
    json: JsonOption = None,
) -> None:
    """Score a tracker on frames where objects are seen, occluded, contained and carried.

    Parameters
    ----------
    benchmark
        Data and protocol.
    root
        Folder of LA-CATER, such as its test_data; 'synthetic' needs none.
    memoryless
        Run's folder of a tracker without memory, to score beside.
    num
        Synthetic games of each kind, or videos of LA-CATER, the first ones.
    """
    if (root is None) != (benchmark == "synthetic"):
        needed = "none for synthetic, the folder of the data for la-cater"
        raise UserError("root", expected=needed, got=str(root))
    if num < 1:
        raise UserError("--num", expected="at least 1", got=str(num))
    with keeping("nothing was kept"):
        from scalable_binding.permanence import video

        scores = video.score(root, weights=weights, memoryless=memoryless, num=num, config=tracking)
    for measure, title in (
        ("overlap", "mean overlap (IoU)"),
        ("distance", "mean distance, pixels"),
    ):
        print(f"{title:24}" + "".join(f"{state:>11}" for state in STATES))
        for name, found in scores["scores"].items():
            print(f"  {name:22}" + _row(found[measure]["all"]))
    write_json(json, scores)


def _row(values: Mapping[str, float]) -> str:
    return "".join(
        f"{values[state]:11.3f}" if state in values else f"{'-':>11}" for state in STATES
    )

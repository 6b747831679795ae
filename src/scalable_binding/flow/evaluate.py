"""How near the flow of a network comes to the truth, on benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from scalable_binding.errors import UserError, require_one_of
from scalable_binding.flow import benchmarks, model
from scalable_binding.flow.benchmarks import Example
from scalable_binding.flow.inference import estimate
from scalable_binding.metrics import flow as metrics

BENCHMARKS: dict[str, Callable[[Path], list[Callable[[], Example]]]] = {
    "synthetic": benchmarks.synthetic,
    "sintel": benchmarks.sintel,
    "sintel-clean": partial(benchmarks.sintel, render="clean"),
    "kitti": benchmarks.kitti,
    "chairs": benchmarks.chairs,
}


def evaluate(
    benchmark: str,
    root: Path | None = None,
    *,
    weights: str | Path = "shipped",
    limit: int | None = None,
) -> dict[str, Any]:
    """Scores of a network beside those of no motion at all, fit for JSON.

    End-point errors are pooled over pixels, but on KITTI the mean of images; F1 is pooled always.
    ``hidden_f1`` says how well the forward-backward check finds what is hidden, where that is
    known: the harmonic mean of precision and recall over all pixels.

    Args:
        benchmark: a key of ``BENCHMARKS``.
        root: folder in the official layout; "synthetic" needs none.
        weights: whatever ``flow.model.load`` takes.
        limit: score this many pairs only, the first ones.

    Raises:
        UserError: there is no such benchmark, its data are missing or damaged, or the weights are.
    """
    require_one_of("benchmark", benchmark, BENCHMARKS)
    if root is None and benchmark != "synthetic":
        raise UserError(f"benchmark {benchmark}", expected="the folder of its data", got="none")
    if limit is not None and limit < 1:
        raise UserError("limit", expected="at least 1", got=str(limit))
    examples = list(islice(BENCHMARKS[benchmark](root or Path()), limit))
    network = model.load(weights)
    found, still = [], []
    hidden = torch.zeros(3)
    for make in _tracked(examples):
        example = make()
        flow = estimate(example.first, example.second, network)
        truth = (example.flow, example.known, example.visible)
        found.append(metrics.tally(flow.flow, *truth))
        still.append(metrics.tally(torch.zeros_like(flow.flow), *truth))
        if example.visible is not None:
            truly = ~example.visible & example.known
            said = flow.hidden & example.known
            hidden += torch.stack([(said & truly).sum(), said.sum(), truly.sum()])
    mean = metrics.kitti if benchmark == "kitti" else metrics.pooled
    scores = mean(found)
    if hidden[1:].sum():
        scores["hidden_f1"] = float(2 * hidden[0] / hidden[1:].sum())
    return {
        "benchmark": benchmark,
        "weights": str(weights),
        "pairs": len(examples),
        "scores": scores,
        "zero flow": mean(still),
    }


def _tracked(examples: list[Callable[[], Example]]) -> Iterable[Callable[[], Example]]:
    console = Console(file=sys.stderr)
    return track(examples, "pairs", console=console, disable=not console.is_terminal)

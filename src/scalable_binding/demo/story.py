"""The demo from beginning to end."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from scalable_binding.data import files
from scalable_binding.demo import crw, own_video, report
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import DemoConfig, Stage

PARTS: tuple[Callable[[Stage], list[Section]], ...] = (crw.sections, own_video.sections)
"""The parts of the demo in the order of the report."""

REPORT = "report.html"
SCORES = "scores.json"

_LEAD = (
    "This page was made on your machine a moment ago. You will see masks and key points follow "
    "objects through a video, learned without a single label."
)


def run(out: Path, config: DemoConfig | None = None) -> dict[str, Any]:
    """The demo's scores; its report, pictures, videos and these scores are left in ``out``.

    The result holds, next to the scores of each section, the path of the ``report``, the ``seed``,
    the versions and the seconds taken. The scores depend on the configuration alone.

    Raises:
        UserError: the weights or the user's video cannot be used, or a file cannot be written.
    """
    stage = Stage(config or DemoConfig(), out)
    start = time.perf_counter()
    sections = [section for part in PARTS for section in part(stage)]
    seconds = time.perf_counter() - start
    results = {
        "report": str(out / REPORT),
        "seed": stage.config.seed,
        "weights": stage.config.weights,
        "versions": _versions(),
        "seconds": round(seconds, 1),
        "scores": {section.name: section.scores for section in sections if section.scores},
    }
    report.write(out / REPORT, sections, lead=_LEAD, footer=_footer(results))
    with files.replacing(out / SCORES) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def _versions() -> dict[str, str]:
    return {
        "scalable-binding": version("scalable-binding"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _footer(results: dict[str, Any]) -> str:
    names = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return (
        f"Made in {results['seconds']:.0f} seconds on {torch.get_num_threads()} threads "
        f"({platform.machine()}) with {names}; seed {results['seed']}, weights "
        f"`{results['weights']}`. The same seed gives the same scene and scores. All scores are in "
        f"`{SCORES}` beside this file, and so are the pictures and videos."
    )

"""Runs the demo: every chapter in turn, then the report and its scores."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from scalable_binding import atomic, report
from scalable_binding.demo import carml, crw, flow, permanence, rin
from scalable_binding.demo.config import DemoConfig
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.engine.versions import installed_versions
from scalable_binding.report import Chapter

CHAPTERS: tuple[DemoChapter, ...] = (
    crw.CHAPTER,
    flow.CHAPTER,
    permanence.CHAPTER,
    rin.CHAPTER,
    *([carml.CHAPTER] if carml.shipped() else []),
)
"""One chapter per system, in the order of the report."""

REPORT = "report.html"
SCORES = "scores.json"


def run(out: Path, config: DemoConfig | None = None) -> dict[str, Any]:
    """Runs all chapters, writes the report into ``out``, and returns the scores.

    The result holds the scores of each section, the path of the ``report``, the ``seed``, versions
    and seconds taken. Scores depend on the configuration alone.

    Raises:
        UserError: weights or a user's file cannot be used, or a file cannot be written.
    """
    config = config or DemoConfig()
    start = time.perf_counter()
    chapters = [_run(chapter, Context(config, out / chapter.name)) for chapter in CHAPTERS]
    results = {
        "report": str(out / REPORT),
        "seed": config.seed,
        "versions": installed_versions(),
        "seconds": round(time.perf_counter() - start, 1),
        "scores": {
            chapter.name: {part.name: part.scores for part in chapter.sections if part.scores}
            for chapter in chapters
        },
    }
    report.write(out / REPORT, chapters, footer=_footer(results))
    with atomic.replacing(out / SCORES) as temporary:
        temporary.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def _run(chapter: DemoChapter, context: Context) -> Chapter:
    sections = chapter.run(context)
    return Chapter(name=chapter.name, title=chapter.title, lead=chapter.lead, sections=sections)


def _footer(results: dict[str, Any]) -> str:
    names = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    threads = torch.get_num_threads()
    return (
        f"Made in {results['seconds']:.0f} seconds on {threads} "
        f"{'thread' if threads == 1 else 'threads'} ({platform.machine()}) with {names}, seed "
        f"{results['seed']}. The same seed gives the same scores. Scores are saved in `{SCORES}` "
        "beside this file, pictures and videos in its folders."
    )

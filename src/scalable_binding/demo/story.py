"""The demo from beginning to end."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

import torch

from scalable_binding import atomic
from scalable_binding.demo import carml, crw, flow, permanence, report, rin
from scalable_binding.demo.config import DemoConfig
from scalable_binding.demo.report import Chapter
from scalable_binding.demo.stage import Stage, Story
from scalable_binding.engine.versions import installed_versions

STORIES: tuple[Story, ...] = (
    crw.STORY,
    flow.STORY,
    permanence.STORY,
    rin.STORY,
    *([carml.STORY] if carml.shipped() else []),
)
"""One a system, in the order of the report; that of CARML where an agent ships."""

REPORT = "report.html"
SCORES = "scores.json"


def run(out: Path, config: DemoConfig | None = None) -> dict[str, Any]:
    """The demo's scores; its report, pictures, videos and these scores are left in ``out``.

    The result holds, next to the scores of each section of each story, the path of the
    ``report``, the ``seed``, the versions and the seconds taken. The scores depend on the
    configuration alone.

    Raises:
        UserError: weights or a user's file cannot be used, or a file cannot be written.
    """
    config = config or DemoConfig()
    start = time.perf_counter()
    chapters = [_told(story, Stage(config, out / story.name)) for story in STORIES]
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


def _told(story: Story, stage: Stage) -> Chapter:
    sections = story.tell(stage)
    return Chapter(name=story.name, title=story.title, lead=story.lead, sections=sections)


def _footer(results: dict[str, Any]) -> str:
    names = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    threads = torch.get_num_threads()
    return (
        f"Made in {results['seconds']:.0f} seconds on {threads} "
        f"{'thread' if threads == 1 else 'threads'} ({platform.machine()}) with {names}; seed "
        f"{results['seed']}. The same seed gives the same scores. They are in `{SCORES}` beside "
        "this file, the pictures and videos in the folders."
    )

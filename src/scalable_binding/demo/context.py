"""The context a chapter of the demo runs in: settings, an output folder, progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from scalable_binding.demo.config import DemoConfig
from scalable_binding.report import Section

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Context:
    """Settings, output folder and progress display of one chapter."""

    config: DemoConfig
    out: Path
    console: Console = field(default_factory=lambda: Console(file=sys.stderr))

    def say(self, what: str) -> None:
        """Print what is being done now."""
        self.console.print(what, highlight=False)

    def track(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        """Iterates over the items under a progress bar."""
        yield from track(items, f"  {what:<28}", total, console=self.console)


@dataclass(frozen=True, kw_only=True)
class DemoChapter:
    """One chapter of the demo: what a system does, shown in the report.

    Args:
        name: of its output folder, its scores, and its settings in the configuration.
        title: its headline.
        lead: the sentence under the headline.
        run: computes the sections.
    """

    name: str
    title: str
    lead: str
    run: Callable[[Context], list[Section]]

"""What a story of the demo works with: settings, its own folder, a line of progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from scalable_binding.demo.config import DemoConfig
from scalable_binding.demo.report import Section

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Stage:
    """The settings, the folder that files go to, and where progress is shown."""

    config: DemoConfig
    out: Path
    console: Console = field(default_factory=lambda: Console(file=sys.stderr))

    def say(self, what: str) -> None:
        """Tell the user what is being done now."""
        self.console.print(what, highlight=False)

    def track(self, items: Iterable[_Item], what: str, total: int) -> Iterator[_Item]:
        """The items, with a bar that moves as they are used."""
        yield from track(items, f"  {what:<28}", total, console=self.console)


@dataclass(frozen=True, kw_only=True)
class Story:
    """One chapter of the report, told by one system.

    Args:
        name: of its folder beside the report, of its scores, and of its settings in the config.
        title: what it makes possible, as a headline.
        lead: the sentence under it.
        tell: does the work on a stage and returns the chapter's sections.
    """

    name: str
    title: str
    lead: str
    tell: Callable[[Stage], list[Section]]

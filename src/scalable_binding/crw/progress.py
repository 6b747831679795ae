"""Progress of propagations and evaluations, with the time left, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scalable_binding.crw.benchmarks import Entry

PLAIN_INTERVAL = 30.0
"""Seconds between lines where no terminal can redraw one."""


class EvaluationProgress:
    """Frames and sequences done, and the time left; a line a sequence stays.

    A context manager. The bar is drawn on terminals only. The estimate counts the frames that were
    labeled now, not those of sequences found done.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._left = {entry.name: entry.num_frames for entry in entries}
        self._total = sum(self._left.values())
        self._num_sequences = len(entries)
        self._labeled = 0
        self._began = time.monotonic()
        self._console = Console(file=sys.stderr, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("frames", total=self._total)

    def tick(self) -> None:
        """A frame more is labeled."""
        self._labeled += 1
        self._bar.advance(self._task)

    def finish(self, name: str, record: Mapping[str, Any]) -> None:
        """A sequence more is done; ``record`` holds its "scores"."""
        num_frames = self._left.pop(name)
        remaining = sum(self._left.values())
        self._bar.update(self._task, completed=self._total - remaining)
        scores = "  ".join(f"{score} {value:.3f}" for score, value in record["scores"].items())
        done = self._num_sequences - len(self._left)
        left = ""
        if self._labeled and remaining:
            seconds = remaining * (time.monotonic() - self._began) / self._labeled
            left = f", {timedelta(seconds=round(seconds))} left"
        line = f"{name}  {num_frames} frames  {scores}  ({done} of {self._num_sequences}{left})"
        self._bar.console.print(line, soft_wrap=True, markup=False)

    def __enter__(self) -> EvaluationProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


class FrameProgress:
    """Frames labeled and the time left: a bar on terminals, a plain line now and then elsewhere.

    A context manager.
    """

    def __init__(self) -> None:
        console = Console(file=sys.stderr, highlight=False)
        self._console = console
        self._done = 0
        self._total: int | None = None
        self._began = self._said = time.monotonic()
        self._bar = Progress(console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task("reading", total=None)

    def begin(self, total: int | None) -> None:
        """Labels are read: so many frames are to be labeled, where that is known."""
        self._began, self._total = time.monotonic(), total
        self._bar.update(self._task, description="labeling", total=total)

    def tick(self) -> None:
        """A frame more is labeled."""
        self._done += 1
        self._bar.advance(self._task)
        now = time.monotonic()
        if self._done > 1 and now - self._said < PLAIN_INTERVAL:
            return
        self._said = now
        if self._total is None:
            self._say(f"frame {self._done}")
        else:
            seconds = (self._total - self._done) * (now - self._began) / self._done
            left = timedelta(seconds=round(seconds))
            self._say(f"frame {self._done}/{self._total}, {left} left")

    def _say(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, soft_wrap=True, markup=False)

    def __enter__(self) -> FrameProgress:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

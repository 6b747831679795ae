"""What a run shows while it trains: step, loss, speed, time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

PLAIN_INTERVAL = 30.0
"""Seconds between lines where no terminal can redraw one."""


class ProgressLine:
    """A line that redraws itself on a terminal, and sparse plain lines elsewhere.

    A context manager; writes to standard error.
    """

    def __init__(self, total: int, *, start: int, shown: bool) -> None:
        console = Console(file=sys.stderr, highlight=False)
        self._console = console
        self._total = total
        self._plain = shown and not console.is_terminal
        self._last_line = -PLAIN_INTERVAL
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        visible = shown and console.is_terminal
        self._bar = Progress(*columns, console=console, disable=not visible)
        self._task = self._bar.add_task("starting", total=total, completed=start)

    def show(self, step: int, figures: Mapping[str, float]) -> None:
        """Bring the line up to date; ``figures`` holds "loss" and "steps_per_second"."""
        speed = figures["steps_per_second"]
        left = (self._total - step) / speed if speed > 0 else 0.0
        text = f"loss {figures['loss']:.4g}  {speed:.3g} steps/s  {_duration(left)} left"
        self._bar.update(self._task, completed=step, description=text)
        now = time.monotonic()
        if self._plain and (now - self._last_line >= PLAIN_INTERVAL or step == self._total):
            self._last_line = now
            self._console.print(f"step {step}/{self._total}  {text}", soft_wrap=True)

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""Signals that end a run once its state is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(Exception):
    """A run ended early on request (SIGTERM or Ctrl-C), with everything it had done saved.

    The same call resumes it. Whoever called decides on the exit code; 128 + ``signal`` is what
    shells expect.
    """

    def __init__(self, run: Path, step: int, number: int) -> None:
        self.run = run
        self.step = step
        self.signal = number
        name = signal.Signals(number).name if number else "another process"
        super().__init__(f"stopped by {name} at step {step}; saved in {run}, resumes from there")


@dataclass
class StopRequest:
    """Whether a signal asked to stop: its number, 0 for none."""

    signal: int = 0


@contextmanager
def deferred_signals() -> Iterator[StopRequest]:
    """A scope in which the first SIGTERM or Ctrl-C is only noted; a second one acts at once.

    Outside of the main thread Python delivers no signals, and the request never comes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals(worker: int) -> None:
    """Leave it to the training process to end this data worker (a DataLoader's init function)."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)

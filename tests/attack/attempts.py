"""Attempts on the program: each in a process of its own, with a time limit and an outcome."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from scalable_binding.errors import UserError

MEMORY = 24 * 2**30
"""Bytes of address space of an attempt: more is refused, not taken."""

BAD = ("traceback", "hang", "crash", "orphan", "silent difference")


@dataclass
class Tally:
    """What became of the attempts, by kind, and every one that failed."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: str, what: str) -> None:
        """Count an outcome; keep what it was if it is a failure."""
        self.counts.setdefault(kind, Counter())[outcome] += 1
        if outcome in BAD:
            self.failures.append(f"{kind}: {outcome}: {what}")

    def __str__(self) -> str:
        lines = [
            f"{kind:28} {sum(found.values()):6}  "
            + ", ".join(f"{outcome} {count}" for outcome, count in sorted(found.items()))
            for kind, found in sorted(self.counts.items())
        ]
        return "\n".join([*lines, *self.failures, f"{len(self.failures)} failures"])


def attempt(
    function: Callable[[], int], *, limit: float = 60.0, kill_after: float | None = None
) -> tuple[str, str]:
    """The outcome of a function in a forked process, and what it printed.

    Outcomes: "done" (0), "refused" (2, one line), "killed" (as asked), or one of :data:`BAD`.
    """
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _run(function, output.fileno())
        status, timed_out = _wait(child, limit if kill_after is None else kill_after)
        orphaned = _end_group(child)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if timed_out:
        return ("killed" if kill_after is not None else "hang"), text
    if orphaned:
        return "orphan", text
    if os.WIFSIGNALED(status):
        return "crash", f"signal {os.WTERMSIG(status)}: {text}"
    code = os.WEXITSTATUS(status)
    if "Traceback (most recent call last)" in text or code not in (0, 2, 130, 143):
        return "traceback", f"exit code {code}: {text}"
    return ("done" if code == 0 else "refused"), text


def reading(read: Callable[[], object]) -> int:
    """The exit code of a reader's call: 2 where it refuses in one line."""
    try:
        read()
    except UserError as error:
        return 2 if "\n" not in str(error) else 1
    return 0


def _run(function: Callable[[], int], output: int) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False, buffering=1)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        torch.set_num_threads(1)
        code = function()
    except BaseException:  # noqa: BLE001  (whatever it is, the parent has to hear of it)
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _wait(child: int, limit: float) -> tuple[int, bool]:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status, False
        time.sleep(0.003)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1], True


def _end_group(child: int) -> bool:
    """Whether processes of the attempt outlive it by more than three seconds; ends them."""
    end = time.monotonic() + 3
    while _is_alive(child):
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            return True
        time.sleep(0.05)
    return False


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file under a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }

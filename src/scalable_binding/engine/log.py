"""Logging of a run: metric means, ``log.jsonl``, TensorBoard, Weights & Biases, progress."""

from __future__ import annotations

import json
import math
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch import Tensor

from scalable_binding import files
from scalable_binding.atomic import explain_write_errors, write_text
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.engine.fit_config import FitConfig
from scalable_binding.errors import UserError

LOG = "log.jsonl"

WANDB_ID = "wandb_id.txt"
"""File in a run that says which run of Weights & Biases goes on when it is resumed."""

MAX_LOG_BYTES = 2**30

PLAIN_INTERVAL = 30.0
"""Seconds between lines where no terminal can redraw one."""


class Recorder:
    """Collects metrics on the device; every report waits for the device once. A context manager.

    The first rank writes and shows; the others only contribute to the means.
    """

    def __init__(
        self, run: Path, config: FitConfig, ranks: DistributedContext, *, start: int
    ) -> None:
        self._ranks = ranks
        self._totals: dict[str, Tensor] = {}
        self._count = 0
        self._since = time.monotonic()
        self._parts: tuple[Log, ProgressLine] | None = None
        if ranks.is_first:
            log = Log(run, start=start, tensorboard=config.tensorboard, wandb=config.wandb)
            self._parts = log, ProgressLine(config.steps, start=start, shown=config.progress)

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Take in the metrics of one step: scalars under the same names at every step."""
        for name, value in metrics.items():
            self._totals[name] = self._totals[name] + value if name in self._totals else value
        self._count += 1

    def report(self, step: int, *, lr: float) -> None:
        """Log and show the means since the last report (every rank must call).

        Raises:
            UserError: the loss is no finite number any more, or the log cannot be written.
        """
        if self._count == 0:
            return
        names = sorted(self._totals)
        sums = torch.stack([self._totals[name] for name in names])
        values = (self._ranks.mean(sums) / self._count).tolist()
        now = time.monotonic()
        speed = self._count / max(now - self._since, 1e-9)
        self._totals, self._count, self._since = {}, 0, now
        figures = {**dict(zip(names, values, strict=True)), "lr": lr, "steps_per_second": speed}
        self._write(step, figures)
        if not math.isfinite(figures["loss"]):
            raise UserError(
                f"loss up to step {step}",
                expected="a finite number",
                got=str(figures["loss"]),
                fix="lower optimizer.lr, lengthen schedule.warm_up or set max_grad_norm; "
                "the checkpoint before is kept",
            )

    def note(self, step: int, figures: Mapping[str, float]) -> None:
        """Log what a hook measured."""
        if self._parts is not None and figures:
            self._parts[0].write(step, figures)

    def __enter__(self) -> Recorder:
        self._stack = ExitStack()
        for part in self._parts or ():
            self._stack.enter_context(part)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _write(self, step: int, figures: dict[str, float]) -> None:
        if self._parts is not None:
            log, progress = self._parts
            log.write(step, figures)
            progress.show(step, figures)


class Log:
    """Appends one JSON object a line: the step and its figures. A context manager."""

    def __init__(
        self, run: Path, *, start: int, tensorboard: bool, wandb: str | None = None
    ) -> None:
        """Open the log of ``run`` to go on after step ``start``; what lies beyond is dropped.

        Args:
            run: folder of the run.
            start: the last step that counts.
            tensorboard: also write TensorBoard files.
            wandb: project of Weights & Biases that also gets the figures.

        Raises:
            UserError: the folder cannot be written, or a package is missing.
        """
        self.path = run / LOG
        _drop_lines_after(start, self.path)
        with explain_write_errors(self.path):
            # Unbuffered, so that a full disk shows at the line that does not fit, and only there.
            self._file: IO[bytes] = self.path.open("ab", buffering=0)
        self._board = _open_board(run, start) if tensorboard else None
        self._wandb = None if wandb is None else _open_wandb(run, wandb)

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one line; not-a-number and infinities become null, as JSON has none.

        Raises:
            UserError: the line cannot be written.
        """
        line = {"step": step, **{name: _plain(value) for name, value in figures.items()}}
        with explain_write_errors(self.path):
            self._file.write(f"{json.dumps(line)}\n".encode())
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(figures), step=step)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log in order.

    What is no line of a log (foreign bytes, a line cut short by a crash) is left out, and so is a
    line that says again what one before it said of the same step.
    """
    path = run / LOG
    text = files.read_bytes(path, MAX_LOG_BYTES).decode(errors="replace") if path.is_file() else ""
    lines: dict[tuple[int, tuple[str, ...]], dict[str, Any]] = {}
    for part in text.split("\n"):
        line = _parse(part)
        if line is not None:
            lines.setdefault((line["step"], tuple(sorted(line))), line)
    return list(lines.values())


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


def _parse(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and type(line.get("step")) is int else None


def _drop_lines_after(step: int, path: Path) -> None:
    """Forget what an interrupted run logged beyond its checkpoint: it will be done again."""
    if path.exists():
        kept = [json.dumps(line) + "\n" for line in read_log(path.parent) if line["step"] <= step]
        write_text(path, "".join(kept))


def _plain(value: float) -> float | None:
    return value if abs(value) < float("inf") else None


def _open_board(run: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        fix = "pip install 'scalable-binding[logging]'"
        raise UserError("tensorboard is not installed", fix=fix) from error
    return SummaryWriter(str(run / "tensorboard"), purge_step=start + 1)


def _open_wandb(run: Path, project: str) -> Any:
    """The run of Weights & Biases that belongs to a folder; its own settings say where it goes."""
    try:
        wandb = import_module("wandb")
    except ImportError as error:
        raise UserError("wandb is not installed", fix="pip install wandb") from error
    path = run / WANDB_ID
    if not path.is_file():
        write_text(path, f"{uuid.uuid4().hex[:12]}\n")
    identity = files.read_text(path, 1000).strip()
    return wandb.init(
        project=project, id=identity, name=run.resolve().name, dir=str(run), resume="allow"
    )


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03, or 2:03 below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

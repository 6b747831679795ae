"""The record of a run: ``log.jsonl``, and TensorBoard files when asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from scalable_binding.engine.atomic import write_text, writing
from scalable_binding.errors import UserError

LOG = "log.jsonl"


class Log:
    """Appends one JSON object a line: the step and its figures. A context manager."""

    def __init__(self, run: Path, *, start: int, tensorboard: bool) -> None:
        """Open the log of ``run`` to go on after step ``start``; what lies beyond is dropped.

        Raises:
            UserError: the folder cannot be written, or TensorBoard is missing.
        """
        self.path = run / LOG
        _drop_lines_after(start, self.path)
        with writing(self.path):
            # Unbuffered, so that a full disk shows at the line that does not fit, and only there.
            self._file: IO[bytes] = self.path.open("ab", buffering=0)
        self._board = _open_board(run, start) if tensorboard else None

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one line; not-a-number and infinities become null, as JSON has none.

        Raises:
            UserError: the line cannot be written.
        """
        line = {"step": step, **{name: _plain(value) for name, value in figures.items()}}
        with writing(self.path):
            self._file.write(f"{json.dumps(line)}\n".encode())
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's log in order; a last line cut short by a crash is left out."""
    path = run / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line for text in lines if (line := _parse(text)) is not None]


def _parse(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


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

"""What commands leave behind: JSON results, output folders, and what an interruption keeps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from scalable_binding import locks
from scalable_binding.data.results import refuse_input
from scalable_binding.errors import UserError


def _check_json(_: object, path: Path | None) -> None:
    if path is not None:
        prepare_target(path, overwrite=True)
        if path.is_dir():
            raise UserError(f"--json {path}", expected="a file", got="a folder")


JsonOption = Annotated[
    Path | None,
    Parameter(
        name="--json",
        validator=_check_json,
        help="Also write the results to this file, in place of one of before.",
    ),
]


def write_json(path: Path | None, results: Mapping[str, Any]) -> None:
    """Write the results as JSON, whole or not at all; nothing without a path.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        return
    from scalable_binding.atomic import replacing

    with replacing(path) as partial:
        partial.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def prepare_folder(out: Path, *, overwrite: bool) -> None:
    """Make the folder ``out``, or take it over when it has something in it and ``overwrite``.

    No other command may use it until this one is done.

    Raises:
        UserError: another command uses it, it has results in it and may not be overwritten, or it
            cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        locks.hold(out)
        if any(out.iterdir()) and not overwrite:
            raise UserError(
                f"output folder {out} is not empty", fix="choose another, or give --overwrite"
            )
        _write_something(out)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error


def hold_folder(out: Path) -> None:
    """Make a folder for results that a stopped command goes on with, and lock it.

    Raises:
        UserError: another command uses it, or it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error
    locks.hold(out)


def _write_something(folder: Path) -> None:
    probe = folder / ".writable"
    probe.touch()
    probe.unlink(missing_ok=True)  # other ranks may have been as far


def prepare_target(path: Path, *, overwrite: bool) -> None:
    """Check, before the work is done, that a file or folder can be written at its end.

    Raises:
        UserError: something is there and may not be overwritten, or nothing can be written there.
    """
    try:
        is_taken = any(path.iterdir()) if path.is_dir() else path.exists()
        if is_taken and not overwrite:
            raise UserError(f"{path} exists", fix="choose another name, or give --overwrite")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_something(path.parent)
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}") from error


def prepare_overlay(overlay: Path, video: Path, out: Path, *, overwrite: bool) -> None:
    """Check, before the work is done, that a video can be drawn over another.

    Raises:
        UserError: as :func:`prepare_target`; it would take the place of the video or of the other
            results, or its name is none that a video can have.
    """
    from scalable_binding.data.frames import videos

    refuse_input(overlay, video)
    if overlay.resolve() == out.resolve():
        raise UserError(f"{overlay} is where other results go", fix="choose another name")
    prepare_target(overlay, overwrite=overwrite)
    videos.check_writable(overlay)


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """A block that, interrupted with Ctrl-C, tells the user what is kept of its work."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(what) from interrupt


@contextmanager
def training_run(run: Path, noun: str) -> Iterator[None]:
    """A block that trains: interrupted, it tells how to go on; done, where the ``noun`` lies."""
    with keeping(f"the last checkpoint is in {run}; the same command goes on from there"):
        yield
    if os.environ.get("RANK", "0") == "0":
        print(f"{noun}: {run}")

"""Videos from a pipe: standard input in any container, kept in a file while it is used."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalable_binding.errors import UserError

STDIN = Path("-")
"""What stands for standard input in the place of a video."""

_SPARE = 2**28
"""Bytes (256 MiB) of the disk that are left free."""

_CHUNK = 2**20


@contextmanager
def opened(video: Path) -> Iterator[Path]:
    """A video's own path; of ``-``, that of a temporary file with all that standard input gives.

    Most containers cannot be read without going back and forth, so the pipe is read to its end
    first. The file is removed at the end.

    Raises:
        UserError: standard input is a terminal or empty, or the disk is too full.
    """
    if video != STDIN:
        yield video
        return
    with tempfile.TemporaryDirectory(prefix="scalable-binding-") as folder:
        path = Path(folder) / "stdin"
        _copy(path)
        yield path


def _copy(path: Path) -> None:
    source = sys.stdin.buffer
    if source.isatty():
        raise UserError("video -", expected="a video piped into standard input", got="a terminal")
    with path.open("wb") as file:
        left = shutil.disk_usage(path.parent).free - _SPARE
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                expected = f"room for it in {path.parent.parent}"
                raise UserError("video -", expected=expected, got="a full disk")
            file.write(chunk)
    if not os.path.getsize(path):
        raise UserError("video -", expected="a video on standard input", got="nothing")

"""Files and folders that are either whole or not there, and one clear line when neither works."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scalable_binding.errors import UserError

ADVICE = {
    errno.ENOSPC: "the disk is full; free some space, then run the same command to resume",
    errno.EDQUOT: "the disk quota is used up; free some space, then run the same command to resume",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A scope whose failures to write end as one line.

    Raises:
        UserError: the disk is full, there is no permission, or the path is of another kind.
    """
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0, str(error.strerror or error))
        raise UserError(f"cannot write {path}: {advice}") from error


def write_file(path: Path, fill: Callable[[Path], object]) -> None:
    """Create or replace a file by what ``fill(temporary path)`` writes, at once or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            fill(temporary)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Create or replace a text file, at once or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def publish_folder(temporary: Path, path: Path) -> None:
    """Give a complete folder its final name, at once; what had the name before is removed.

    Raises:
        UserError: no permission to rename.
    """
    with writing(path):
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.rename(temporary, path)
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

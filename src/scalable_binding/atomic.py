"""Atomic writes: a file or folder appears whole or not at all, and a refusal is one line."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scalable_binding.errors import UserError

ADVICE = {
    errno.ENOSPC: "the disk is full; free some space, then run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space, then run the same command again",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EPERM: "no permission to write there; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
    errno.EEXIST: "a file is in the way; choose another folder",
}


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """A scope in which an ``OSError`` becomes one line that names ``path`` and what to do.

    Raises:
        UserError: the disk is full, there is no permission, or the path is of another kind.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        advice = ADVICE.get(error.errno or 0)
        line = reason if advice is None else f"{advice} ({reason})"
        raise UserError(f"cannot write {path}: {line}") from error


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends well.

    The caller writes a file or makes a folder there. When the block raises, what was written is
    removed and whatever was at ``path`` before stays as it was. Missing parent folders are made.
    The content is on the disk before it gets its name, so that a power failure leaves the old
    file or the new one.

    Args:
        path: of the file or folder.
        durable: also wait until the name is on the disk, for files whose order matters, such as
            those of a checkpoint.

    Raises:
        UserError: the disk is full, a permission is missing or a file is where a folder must be.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with explain_write_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            if durable:
                sync(path.parent)
        finally:
            if temporary.is_dir():
                shutil.rmtree(temporary, ignore_errors=True)
            else:
                temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Create or replace a file, durably.

    Raises:
        UserError: the file cannot be written.
    """
    with replacing(path, durable=True) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Create or replace a UTF-8 text file, durably.

    Raises:
        UserError: the file cannot be written.
    """
    write_bytes(path, text.encode())


def publish_folder(temporary: Path, path: Path) -> None:
    """Give a complete folder its final name, durably; what had the name before is removed.

    Raises:
        UserError: no permission to rename.
    """
    with explain_write_errors(path):
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

"""Exclusive use of a folder by one command: a lock that ends with its process."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scalable_binding.errors import UserError

_held = ExitStack()
_folders: set[Path] = set()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """A scope in which no other command may use ``folder``, which must exist.

    The folder itself is locked (``flock``): no file is left behind, and the kernel lets go of it
    when the process ends in any way. Of the processes that ``torchrun`` started the first one locks
    for all. Where a file system or a platform cannot lock folders, a warning says so.

    Raises:
        UserError: another command uses the folder.
    """
    if os.environ.get("RANK", "0") != "0":
        yield
        return
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                fix = "wait until it is done, or choose another folder"
                raise UserError(f"{folder} is in use by another command", fix=fix) from error
            warnings.warn(f"{folder} cannot be locked ({error.strerror})", stacklevel=3)
        yield
    finally:
        os.close(handle)


def hold(folder: Path) -> None:
    """Lock a folder until :func:`release`, or until the process ends; twice is once.

    Raises:
        UserError: another command uses the folder.
    """
    if folder.resolve() not in _folders:
        _held.enter_context(exclusive(folder))
        _folders.add(folder.resolve())


def release() -> None:
    """Let go of every folder that :func:`hold` has locked."""
    _held.close()
    _folders.clear()

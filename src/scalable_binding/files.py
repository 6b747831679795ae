"""Reading regular files of bounded size; :mod:`scalable_binding.atomic` writes them.

Every reader of the package opens its files here, so that a FIFO, a device or a socket in the place
of a file ends in one line and not in a program that waits.
"""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from scalable_binding.errors import UserError

MAX_BYTES = 2**28
"""Bytes (256 MiB) that a file read as a whole has at most, where its reader does not say."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(path: Path) -> os.stat_result:
    """What the system tells of a regular file, links followed.

    Raises:
        UserError: nothing is there, or it is a folder, a FIFO, a device or a socket.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a NUL, or surrogates that stand for no byte
        raise UserError(f"no such file: {str(path)!r} ({error})") from error
    _check_kind(path, status)
    return status


def _check_kind(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise UserError(f"cannot read {path}", expected="a regular file", got=kind)


def open_regular(path: Path) -> io.BufferedReader:
    """A regular file, opened for reading bytes; the caller closes it.

    Raises:
        UserError: nothing is there, it is no regular file, or it may not be read.
    """
    check_regular(path)  # before it is opened: opening a device can set it going
    try:
        file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller's to close)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    _check_kind(path, os.fstat(file.fileno()))
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting for somebody at the other end, should the file be a FIFO by now."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file of at most ``most`` bytes, by default ``MAX_BYTES``.

    Raises:
        UserError: as :func:`open_regular`; or the file is larger.
    """
    most = MAX_BYTES if most is None else most
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            content = file.read(most + 1) if size <= most else b""
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if size > most or len(content) > most:
        got = f"{max(size, len(content))} or more" if size <= most else str(size)
        raise UserError(f"{path}", expected=f"at most {most} bytes", got=got)
    return content or b""  # None where a driver has nothing to give yet


def read_text(path: Path, most: int | None = None) -> str:
    """The text of a regular file in UTF-8, a byte order mark at its start left out.

    Raises:
        UserError: as :func:`read_bytes`; or the file is no text in UTF-8.
    """
    try:
        return read_bytes(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error


def read_json(path: Path, most: int | None = None, *, fix: str = "") -> Any:
    """What a regular file in JSON holds.

    Raises:
        UserError: as :func:`read_text`; or the text is no JSON, with what to do about it.
    """
    try:
        return json.loads(read_text(path, most))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error})", fix=fix) from error

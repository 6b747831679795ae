"""Checksums of a folder's files: written beside them as ``SHA256SUMS``, verified when read.

The format is that of ``sha256sum``, which checks it as well: ``sha256sum -c SHA256SUMS``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from scalable_binding import files
from scalable_binding.atomic import write_text
from scalable_binding.errors import UserError

SUMS = "SHA256SUMS"
MAX_BYTES = 1 << 20
"""A longer list of checksums is not one of ours."""


def write_checksums(folder: Path, files: Iterable[Path] | None = None) -> None:
    """Write the checksums of a folder's files, by default all of them, into the folder.

    Raises:
        UserError: the folder cannot be written.
    """
    chosen = folder.rglob("*") if files is None else files
    lines = [
        f"{digest(path)}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(chosen)
        if path.is_file() and path.name != SUMS
    ]
    write_text(folder / SUMS, "".join(lines))


def read_checksums(folder: Path) -> dict[str, str]:
    """Checksums by file name, relative to ``folder``; none where it has no list.

    Raises:
        UserError: the list is damaged.
    """
    path = folder / SUMS
    if not path.is_file():
        return {}
    found = {}
    for line in files.read_text(path, MAX_BYTES).splitlines():
        match = re.fullmatch(r"([0-9a-f]{64})  (.+)", line)
        if match is None:
            raise UserError(f"{path} is damaged", expected="checksums and file names")
        found[match[2]] = match[1]
    return found


def verify_file(path: Path) -> None:
    """Refuse a file that differs from its checksum; one without a checksum passes.

    The list is looked for in the file's folder and in the one above.

    Raises:
        UserError: the file differs, or the list of checksums is damaged.
    """
    for folder in (path.parent, path.parent.parent):
        expected = read_checksums(folder).get(path.relative_to(folder).as_posix())
        if expected is not None and path.is_file() and digest(path) != expected:
            fix = f"get it again; if you changed it yourself, remove {folder / SUMS}"
            raise UserError(f"{path} is damaged: it differs from its checksum", fix=fix)


def verify_folder(folder: Path) -> None:
    """Refuse a folder in which a listed file is missing or differs.

    Raises:
        UserError: one is, or the list itself is damaged.
    """
    for name in read_checksums(folder):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is damaged: {name} is missing")
        verify_file(folder / name)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Members of tar shards in webdataset's layout, read in place.

Nothing is ever extracted, so that a member's name is only a label: an absolute name, a ``..`` or a
link in a hostile archive reaches no other file.
"""

from __future__ import annotations

import io
import tarfile
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from scalable_binding import files
from scalable_binding.errors import UserError

_READ_BUFFER = 1 << 18


class DamagedShardWarning(UserWarning):
    """A tar archive ends early; the files that are whole are used."""


@dataclass(frozen=True)
class Member:
    """A file inside an uncompressed tar archive: the bytes ``offset`` to ``offset + size``."""

    archive: Path
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"

    def open(self) -> io.BufferedReader:
        """A seekable binary file of the member's bytes alone; the caller closes it."""
        return io.BufferedReader(_Window(self.archive, self.offset, self.size), _READ_BUFFER)


class _Window(io.RawIOBase):
    """Bytes ``offset`` to ``offset + size`` of a file as a file of its own."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._size - self._position))
        self._file.seek(self._offset + self._position)
        read = self._file.readinto(memoryview(buffer)[:count]) or 0
        self._position += read
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


def index(archive: Path) -> list[Member]:
    """The regular files of an uncompressed tar archive, in its order.

    Links and devices are left out. A member that reaches beyond the end of the archive (a download
    that was cut) is left out too.

    Raises:
        UserError: the archive is missing, compressed or no tar at all.
    """
    length = files.check_regular(archive).st_size
    try:
        with tarfile.open(archive, "r:") as tar:
            entries, is_cut = _entries(tar)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UserError(
            f"{archive}: cannot be read as a shard",
            expected="an uncompressed tar archive",
            got=str(error) or type(error).__name__,
        ) from error
    members = [Member(archive, entry.name, entry.offset_data, entry.size) for entry in entries]
    whole = [member for member in members if member.offset + member.size <= length]
    if is_cut or len(whole) < len(members):
        message = f"{archive}: the archive is cut; {len(whole)} whole files are used"
        warnings.warn(message, DamagedShardWarning, stacklevel=2)
    return whole


def _entries(tar: tarfile.TarFile) -> tuple[list[tarfile.TarInfo], bool]:
    """The regular files' headers, and whether the archive ends within one."""
    entries: list[tarfile.TarInfo] = []
    try:
        for entry in tar:
            if entry.isreg() and not entry.issparse():
                entries.append(entry)
    except tarfile.ReadError:
        return entries, True
    return entries, False


def sample_key(name: str) -> tuple[str, str]:
    """The sample a member belongs to and its extension, split at the base name's first dot.

    >>> sample_key("walks/0001.frame3.jpg")
    ('walks/0001', 'frame3.jpg')

    Source: the webdataset format.
    """
    path = PurePosixPath(name)
    stem, _, extension = path.name.partition(".")
    return str(path.parent / stem), extension.lower()

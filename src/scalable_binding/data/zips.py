"""Members of ZIP archives, read in place and one by one.

Nothing is ever extracted and no archive stays open, so that a member can be read in any process.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from scalable_binding import files
from scalable_binding.errors import UserError

_HEADER = struct.Struct("<4s22xHH")
_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class ZipMember:
    """A file inside a ZIP archive, stored or deflated, whose header begins at ``offset``.

    Attributes:
        packed: bytes in the archive, ``size``: bytes of the file itself.
        checksum: CRC-32 of the file.
    """

    archive: Path
    name: str
    offset: int
    packed: int
    size: int
    deflated: bool
    checksum: int

    def __str__(self) -> str:
        return f"{self.archive}:{self.name}"

    def open(self) -> io.BytesIO:
        """The file's bytes; memory is bounded by ``size``, whatever the archive holds.

        Raises:
            UserError: the archive is damaged or not what its directory says.
            OSError: the archive cannot be read.
        """
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size or self.packed > 2 * self.size + 1024:
                raise self._damage()
            signature, name_length, extra_length = _HEADER.unpack(header)
            file.seek(name_length + extra_length, io.SEEK_CUR)
            content = file.read(self.packed)
        if self.deflated:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, self.size)
            except zlib.error as error:
                raise self._damage() from error
        if signature != _SIGNATURE or len(content) != self.size:
            raise self._damage()
        if zlib.crc32(content) != self.checksum:
            raise self._damage()
        return io.BytesIO(content)

    def _damage(self) -> UserError:
        return UserError(f"{self}: this part of the archive is damaged")


def index(archive: Path) -> list[ZipMember]:
    """The regular files of a ZIP archive, in its order; links are left out.

    Raises:
        UserError: the archive is missing or no ZIP, a member's name leads out of the archive, or a
            member is encrypted or packed in a way that is neither stored nor deflated.
    """
    files.check_regular(archive)
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"{archive}: cannot be read",
            expected="a ZIP archive",
            got=str(error) or type(error).__name__,
        ) from error
    return [
        _member(archive, entry)
        for entry in entries
        if not entry.is_dir() and not stat.S_ISLNK(entry.external_attr >> 16)
    ]


def _member(archive: Path, entry: zipfile.ZipInfo) -> ZipMember:
    _check_name(archive, entry.filename)
    if entry.flag_bits & _ENCRYPTED:
        raise UserError(f"{archive}:{entry.filename} is encrypted", fix="unpack and pack it again")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(
            f"{archive}:{entry.filename}",
            expected="a member that is stored or deflated",
            got=f"compression {entry.compress_type}",
            fix="pack the archive again",
        )
    return ZipMember(
        archive=archive,
        name=entry.filename,
        offset=entry.header_offset,
        packed=entry.compress_size,
        size=entry.file_size,
        deflated=entry.compress_type == zipfile.ZIP_DEFLATED,
        checksum=entry.CRC,
    )


def _check_name(archive: Path, name: str) -> None:
    """Refuse an archive that was made to reach places outside of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        raise UserError(
            f"{archive} is refused",
            expected="names of files inside the archive",
            got=repr(name),
        )

"""Tables of numbers as people have them: CSV by programs, and CSV by spreadsheets.

A spreadsheet writes the separators of its language: commas, semicolons or tabs between the columns,
and then a comma as decimal point; a byte order mark, UTF-16 or ``sep=;`` at the start, empty rows
and columns at the end. All of these are read; what is ambiguous is refused.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from scalable_binding import files
from scalable_binding.errors import UserError

Row = Mapping[str, str]

Separator = Literal[",", ";", "\t"]

SEPARATORS: tuple[Separator, ...] = (",", ";", "\t")

_HINT = re.compile(r"\s*\"?sep=(.)\"?[ ,;\t]*\r?\n", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+(?:[eE][+-]?\d+)?\s*")


def read(path: Path, required: Sequence[str], names: Sequence[str]) -> list[tuple[str, Row]]:
    """The rows of a table by the names of its columns, each after how a message names it.

    Numbers have a point in them when they come back. Names of columns are lower case and in any
    order; rows without any entry are left out.

    Args:
        path: a .csv file.
        required: names of columns that must be there.
        names: those that are known, for messages.

    Raises:
        UserError: the file cannot be read, or its first line does not name the columns.
    """
    text = _decode(path, files.read_bytes(path))
    hint = _HINT.match(text)
    if hint is not None:
        text = text[hint.end() :]
    text = text.lstrip("\r\n")
    lines = 0 if hint is None else 1
    found = _split(text, required, SEPARATORS if hint is None else (hint[1],))
    if found is None:
        if not text.strip():
            return []
        raise UserError(
            f"{path}: its first line must name the columns",
            expected=",".join(names),
            got=text.splitlines()[0][:80],
        )
    separator, columns = found
    reader = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows: list[tuple[str, Row]] = []
    try:
        next(reader)
        for values in reader:
            if any(value.strip() for value in values):
                row = dict(zip(columns, (_with_point(value) for value in values), strict=False))
                rows.append((f"line {reader.line_num + lines}", row))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + lines}: {error}") from error
    return rows


def _decode(path: Path, content: bytes) -> str:
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        pass
    if b"\0" in content:
        raise UserError(f"{path}: not a text file in UTF-8")
    return content.decode("cp1252", errors="replace")  # names of other columns; numbers are ASCII


def _split(
    text: str, required: Sequence[str], separators: Sequence[str]
) -> tuple[str, list[str]] | None:
    """The separator by which the first line names the required columns, and the names."""
    first = text.splitlines()[0] if text.strip() else ""
    for separator in separators:
        try:
            cells = next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:
            continue
        columns = [cell.strip().lower() for cell in cells]
        if set(required) <= set(columns):
            return separator, columns
    return None


def _with_point(value: str) -> str:
    """A number such as 12,5 with a point; anything else as it is."""
    return value.replace(",", ".") if _DECIMAL_COMMA.fullmatch(value) else value


def to_number(place: str, name: str, value: object) -> float:
    """A finite number from a cell of a table, or from JSON.

    Raises:
        UserError: it is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise UserError(f"{place}: {name}", expected="a number", got=repr(value)[:40]) from error
    return number


def format_rows(
    names: Sequence[str], rows: Sequence[Mapping[str, object]], separator: Separator = ","
) -> str:
    """A table as text; with another separator than a comma, a comma is the decimal point."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = [row[name] for name in names]
        writer.writerow(values if separator == "," else [_with_comma(value) for value in values])
    return text.getvalue()


def _with_comma(value: object) -> object:
    return repr(value).replace(".", ",") if isinstance(value, float) else value

"""JSON and XML of bounded size, and typed entries of what is read from them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from xml.parsers import expat

from scalable_binding import files
from scalable_binding.errors import UserError

MAX_BYTES = 2**27
"""Bytes (128 MiB) of a label file, at most."""

_MAX_DEPTH = 16
"""Elements within elements of an XML file, at most."""

_T = TypeVar("_T")
_WORDS = {list: "a list", dict: "an object", str: "a text", int: "a whole number"}


def load_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        UserError: the file cannot be read, is too large, or no JSON.
    """
    try:
        return json.loads(files.read_text(path, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: no valid JSON ({error})") from error


def entry(what: str, row: Any, name: str, kind: type[_T], default: _T | None = None) -> _T:
    """An entry of a JSON object, of the kind expected.

    Raises:
        UserError: it is missing without a default, or of another kind.
    """
    if not isinstance(row, Mapping):
        raise UserError(what, expected="an object", got=type(row).__name__)
    value = row.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or isinstance(value, bool):
        got = "nothing" if value is None else repr(value)[:40]
        raise UserError(f"{what}: {name}", expected=_WORDS.get(kind, kind.__name__), got=got)
    return value


def number(what: str, value: Any) -> float:
    """A finite number, given as such or as text.

    Raises:
        UserError: it is none.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        found = float(value)
        if not math.isfinite(found) or abs(found) > 1e9:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise UserError(what, expected="a number", got=repr(value)[:40]) from error
    return found


def whole(what: str, value: Any) -> int:
    """A whole number, given as such or as text.

    Raises:
        UserError: it is none.
    """
    found = number(what, value)
    if found != int(found):
        raise UserError(what, expected="a whole number", got=repr(value)[:40])
    return int(found)


def parse_xml(
    path: Path,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str, str], None],
) -> None:
    """Walk through an XML file: calls ``start(name, attributes)`` and ``end(name, text)``.

    Nothing outside of the file is ever read. A document type declaration is refused, and with it
    entities of its own, inner and external.

    Raises:
        UserError: the file cannot be read, is too large or nested too deep, no XML, or declares a
            document type.
    """
    parser = expat.ParserCreate()
    text: list[str] = []
    depth = 0

    def on_start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise UserError(f"{path}: XML", expected=f"at most {_MAX_DEPTH} levels")
        text.clear()
        start(name, attributes)

    def on_end(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name, "".join(text))
        text.clear()

    def refuse(*_: object) -> None:
        expected = "XML without a document type and entities"
        raise UserError(f"{path}", expected=expected, got="a DOCTYPE")

    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(files.read_bytes(path, MAX_BYTES), True)
    except expat.ExpatError as error:
        raise UserError(f"{path}: no valid XML ({error})") from error
    except (LookupError, ValueError) as error:  # an encoding that is not known
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: no valid XML ({error})") from error

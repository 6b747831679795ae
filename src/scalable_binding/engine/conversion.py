"""Values of configurations: from text and plain data to the type of a field, and back.

Command lines give text, YAML and JSON give numbers, lists and mappings; both end here. Torch is
not imported.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

_NONE_WORDS = ("none", "null", "~")
_BOOLEAN_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


Build = Callable[[type, Mapping[str, Any]], Any]


class Mismatch(Exception):
    """A value cannot become what a field holds; the caller knows the field and names it."""


def convert(value: Any, hint: Any, build: Build) -> Any:
    """``value`` as what a field annotated with ``hint`` holds.

    ``build(cls, mapping)`` makes the dataclasses that stand inside: it knows their place in the
    whole configuration, which errors name.

    Raises:
        Mismatch: the value is of another kind.
    """
    origin = typing.get_origin(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(value, typing.get_args(hint), build)
    if origin is Literal:
        return _convert_literal(value, typing.get_args(hint))
    if origin is tuple or hint is tuple:
        return _convert_tuple(value, typing.get_args(hint) or (Any, ...), build)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return build(typing.cast(type, hint), value)
        raise Mismatch
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _convert_enum(value, hint)
    if hint in _CONVERTERS:
        return _CONVERTERS[hint](value)
    raise TypeError(f"configurations cannot hold a field of type {hint!r}")


def _convert_union(value: Any, members: tuple[Any, ...], build: Build) -> Any:
    if isinstance(value, Mapping):
        # Straight to the group, so that an error inside it names the field and not the union.
        groups = [member for member in members if dataclasses.is_dataclass(member)]
        fitting = [
            group for group in groups if {*value} <= {f.name for f in dataclasses.fields(group)}
        ]
        if groups:
            return convert(value, (fitting or groups)[0], build)
    # A value that already has a member's type stays as it is; text turns into text last.
    exact = [m for m in members if isinstance(m, type) and m is not str and type(value) is m]
    others = [m for m in members if m is not str]
    for member in [*exact, *others, *(m for m in members if m is str)]:
        try:
            return convert(value, member, build)
        except Mismatch:
            continue
    raise Mismatch


def _convert_literal(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    for choice in choices:
        if isinstance(value, str) and value == str(choice):
            return choice
    raise Mismatch


def _convert_tuple(value: Any, items: tuple[Any, ...], build: Build) -> Any:
    if isinstance(value, str):
        value = _split(value)
    if not isinstance(value, (list, tuple)):
        raise Mismatch
    if items == ((),):
        items = ()
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise Mismatch
    return tuple(convert(v, item, build) for v, item in zip(value, items, strict=True))


def _convert_enum(value: Any, cls: type[enum.Enum]) -> enum.Enum:
    for member in cls:
        if value is member or value == member.value:
            return member
    for member in cls:
        if isinstance(value, str) and value.lower() in (
            member.name.lower(),
            str(member.value).lower(),
        ):
            return member
    raise Mismatch


def _convert_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLEAN_WORDS:
        return _BOOLEAN_WORDS[value.lower()]
    raise Mismatch


def _convert_int(value: Any) -> int:
    number = _to_int(value)
    if is_beyond_64_bits(number):
        raise Mismatch
    return number


def is_beyond_64_bits(value: Any) -> bool:
    """Whether a value is, or spells, a whole number that tensors and files cannot hold."""
    try:
        return not isinstance(value, bool | float) and abs(int(value)) >= 2**63
    except (TypeError, ValueError):
        return False


def _to_int(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = _convert_float(value)  # "1e5" steps
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise Mismatch


def _convert_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise Mismatch
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise Mismatch from None


def _convert_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise Mismatch


def _convert_path(value: Any) -> Path:
    if isinstance(value, (str, Path)) and str(value):
        return Path(value)
    raise Mismatch


def _convert_none(value: Any) -> None:
    if value is None or (isinstance(value, str) and value.lower() in _NONE_WORDS):
        return
    raise Mismatch


_CONVERTERS: dict[Any, Any] = {
    bool: _convert_bool,
    int: _convert_int,
    float: _convert_float,
    str: _convert_str,
    Path: _convert_path,
    types.NoneType: _convert_none,
}

_TYPE_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    types.NoneType: "none",
    Any: "anything",
}


def describe(hint: Any) -> str:
    """What a field of this type accepts, in words."""
    origin, items = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPE_NAMES:
        return _TYPE_NAMES[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(describe(item) for item in items)
    if origin is Literal:
        return ("one of " if len(items) > 1 else "") + ", ".join(str(item) for item in items)
    if origin is tuple and len(items) == 2 and items[1] is Ellipsis:
        return f"a list, each item {describe(items[0])}"
    if origin is tuple:
        return f"a list of {len(items)}: {', '.join(describe(item) for item in items)}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return "one of " + ", ".join(member.name.lower() for member in hint)
    if dataclasses.is_dataclass(hint):
        names = [field.name for field in dataclasses.fields(hint) if field.init]
        return f"a group of settings ({', '.join(names)})"
    return str(hint)


def _split(text: str) -> Any:
    """The items of a list written on the command line: ``2,4,8`` or ``[2, 4, 8]``."""
    text = text.strip()
    if text[:1] in ("[", "("):
        import yaml

        try:
            return yaml.safe_load(text.translate(str.maketrans("()", "[]")))
        except yaml.YAMLError:
            raise Mismatch from None
    return [item.strip() for item in text.split(",")] if text else []


def to_plain(value: Any) -> Any:
    """The value as JSON can hold it: lists for tuples, text for paths, names for enum members.

    Infinities and NaN become text (``"inf"``), since strict JSON has no such numbers.
    """
    if dataclasses.is_dataclass(value):
        return {
            f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init
        }
    if isinstance(value, enum.Enum):
        return value.name.lower()
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def show(value: Any) -> str:
    """The value as an error prints it, cut to 60 characters."""
    text = "none" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

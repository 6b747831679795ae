"""Configurations: frozen, nested dataclasses to and from mappings, JSON, YAML and overrides.

A configuration becomes a mapping of plain values (:func:`to_mapping`); a mapping becomes a
configuration (:func:`from_mapping`) field by field, each value converted to the field's type.
Everything else is built on these two. Torch is not imported, so that the command line can show
and check settings at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from scalable_binding import files
from scalable_binding.engine.conversion import (
    Mismatch,
    convert,
    describe,
    is_beyond_64_bits,
    show,
    to_plain,
)
from scalable_binding.errors import UserError

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One leaf of a configuration: its dotted path, what it accepts, its value as plain data."""

    path: str
    accepts: str
    value: Any


def to_mapping(config: Any) -> dict[str, Any]:
    """The configuration as nested dicts of what JSON can hold.

    Tuples become lists, paths text, enum members their names, and infinities and NaN text
    (``"inf"``), since strict JSON has no such numbers; :func:`from_mapping` undoes all of it.
    """
    return dict(to_plain(config))


def to_json(config: Any) -> str:
    """The configuration as indented JSON text, ending in a newline."""
    return json.dumps(to_mapping(config), indent=2, allow_nan=False) + "\n"


def to_yaml(config: Any) -> str:
    """The configuration as YAML text that :func:`read` understands."""
    import yaml

    return yaml.safe_dump(to_mapping(config), sort_keys=False, default_flow_style=None)


def from_mapping(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """The ``cls`` that a mapping of plain values describes; absent fields keep their defaults.

    Keys may be nested (``{"optimizer": {"lr": 1e-3}}``) or dotted (``{"optimizer.lr": 1e-3}``).
    Text is converted to the type of its field, since YAML reads ``1e-3`` as text.

    Raises:
        UserError: unknown or missing field, wrong type, or a value that ``cls`` refuses.
    """
    return _build(cls, nest(mapping), "", cls)


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """A copy of ``config`` with some fields, named by dotted paths, set to other values.

    All changes are made before the copy is validated, so that fields bound to each other can
    move together. A group that is None starts from its defaults when a field of it is set.

    Raises:
        UserError: unknown field, wrong type, or a value that the configuration refuses.
    """
    return from_mapping(type(config), _merge(to_mapping(config), nest(changes)))


def read(path: Path) -> dict[str, Any]:
    """The nested mapping that a YAML or JSON file holds (JSON is YAML).

    Raises:
        UserError: no such file, not readable as YAML, or not a mapping of settings.
    """
    import yaml

    try:
        content = yaml.safe_load(files.read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"configuration {path} is neither YAML nor JSON: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(
            f"configuration {path}", expected="a mapping of settings", got=show(content)
        )
    return nest(content)


def settings(config: Any) -> Iterator[Setting]:
    """The leaves of a configuration in the order of their definition, groups opened up."""
    hints = typing.get_type_hints(type(config))
    for field in _fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            for inner in settings(value):
                yield dataclasses.replace(inner, path=f"{field.name}.{inner.path}")
        else:
            accepts = describe(hints[field.name])
            yield Setting(path=field.name, accepts=accepts, value=to_plain(value))


def paths(cls: type) -> list[str]:
    """The dotted paths of every field that ``cls`` accepts, those of optional groups included."""
    found = []
    for name, hint in _hints(cls).items():
        found.append(name)
        for group in _groups(hint):
            found += [f"{name}.{inner}" for inner in paths(group)]
    return found


def nest(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """The mapping with dotted keys opened into nested dicts.

    Raises:
        UserError: one field is set twice, or a key is not text.
    """
    tree: dict[str, Any] = {}
    for key, value in mapping.items():
        if not isinstance(key, str) or not all(key.split(".")):
            raise UserError("name of a setting", expected="names joined by dots", got=show(key))
        head, _, rest = key.partition(".")
        branch = nest({rest: value}) if rest else value
        branch = nest(branch) if isinstance(branch, Mapping) else branch
        if head not in tree:
            tree[head] = branch
        elif isinstance(tree[head], dict) and isinstance(branch, dict):
            tree[head] = _join(tree[head], branch, head)
        else:
            raise UserError(f"setting {key!r} is given twice")
    return tree


def _join(first: dict[str, Any], second: dict[str, Any], where: str) -> dict[str, Any]:
    """Both trees in one; a leaf may stand in one of them only."""
    joined = dict(first)
    for key, value in second.items():
        path = f"{where}.{key}"
        if key not in joined:
            joined[key] = value
        elif isinstance(joined[key], dict) and isinstance(value, dict):
            joined[key] = _join(joined[key], value, path)
        else:
            raise UserError(f"setting {path!r} is given twice")
    return joined


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the leaves of ``changes`` in place of its own."""
    merged = dict(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _build(cls: type[Config], tree: Mapping[str, Any], prefix: str, root: type) -> Config:
    """The ``cls`` at dotted ``prefix`` inside a configuration of type ``root``."""
    hints = _hints(cls)
    values: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if name not in hints:
            path = _first_leaf(path, value)
            raise UserError(f"unknown setting {path!r}", fix=_nearest(path, paths(root)))
        build = functools.partial(_build, prefix=f"{path}.", root=root)
        try:
            values[name] = convert(value, hints[name], build)
        except Mismatch:
            expected = describe(hints[name])
            if is_beyond_64_bits(value):
                expected += ", of at most 64 bits"
            raise UserError(f"setting {path!r}", expected=expected, got=show(value)) from None
    for field in _fields(cls):
        if field.name not in values and _is_required(field):
            path = f"{prefix}{field.name}"
            raise UserError(f"setting {path!r}", expected=describe(hints[field.name]), got="none")
    try:
        return cls(**values)
    except ValueError as error:
        where = f"settings {prefix[:-1]!r}: " if prefix else ""
        raise UserError(f"{where}{error}") from error


def _first_leaf(path: str, value: Any) -> str:
    """The path as the user wrote it: what was nested on the way is joined again."""
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        path = f"{path}.{name}"
    return path


def _nearest(path: str, valid: list[str]) -> str:
    """Advice that names the valid path closest to an unknown one."""
    leaf = path.rpartition(".")[2]
    namesakes = [name for name in valid if name.rpartition(".")[2] == leaf]
    close = namesakes or difflib.get_close_matches(path, valid, n=1, cutoff=0.5)
    if not close:
        leaves = {name.rpartition(".")[2]: name for name in valid}
        close = [leaves[name] for name in difflib.get_close_matches(leaf, leaves, n=1)]
    if close:
        return f"did you mean {' or '.join(repr(name) for name in close)}?"
    return f"there is {', '.join(name for name in valid if '.' not in name)}"


def _fields(config: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(config) if field.init]


def _hints(cls: Any) -> dict[str, Any]:
    """The types of the fields that can be set, by name, in order."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in _fields(cls)}


def _groups(hint: Any) -> list[type]:
    """The dataclasses that a field of this type may hold."""
    members = (hint, *typing.get_args(hint))
    return [member for member in members if isinstance(member, type) and is_dataclass(member)]


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing

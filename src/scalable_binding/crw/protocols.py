"""Protocols of label propagation by name: settings that differ from the thesis'."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from scalable_binding.crw.presets import PropagationConfig

PROTOCOLS: dict[str, dict[str, Any]] = {
    "crw": {},
    "dino": {"context": 7, "neighbors": 5, "radius": 12.0, "temperature": 0.1, "fill": False},
}
"""DINO (Caron et al., 2021) searches squares of 12 cells to each side, where ours are discs."""


def settings_of_protocol(name: str) -> dict[str, Any]:
    """The settings of ``PropagationConfig`` in which a protocol differs from the thesis'."""
    return dict(PROTOCOLS[name])


def with_protocol(name: str, given: PropagationConfig | None) -> PropagationConfig:
    """What a user asked for (where it differs from the defaults), over a protocol."""
    default, given = PropagationConfig(), given or PropagationConfig()
    names = [field.name for field in fields(given)]
    asked = {n: getattr(given, n) for n in names if getattr(given, n) != getattr(default, n)}
    return replace(default, **(settings_of_protocol(name) | asked))

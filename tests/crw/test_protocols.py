"""Protocols by name: their settings hold where the user asks for nothing else."""

from __future__ import annotations

from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.protocols import with_protocol


def test_the_thesis_protocol_is_the_default() -> None:
    assert with_protocol("crw", None) == PropagationConfig()
    assert with_protocol("crw", PropagationConfig(context=3)) == PropagationConfig(context=3)


def test_dinos_protocol_gives_way_to_what_is_asked_for() -> None:
    found = with_protocol("dino", None)
    assert (found.context, found.neighbors, found.radius) == (7, 5, 12.0)
    assert found.temperature == 0.1 and not found.fill
    asked = with_protocol("dino", PropagationConfig(context=3, zoom=2.0))
    assert (asked.context, asked.zoom, asked.neighbors) == (3, 2.0, 5)

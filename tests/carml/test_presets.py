"""Presets: the thesis' numbers, and that every one describes a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalable_binding.carml.config import CARMLConfig
from scalable_binding.cli.settings import configure, presets
from scalable_binding.engine.config import from_mapping, settings, to_mapping

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "carml.json").read_text())


@pytest.mark.parametrize("name", list(GOLDEN["entropy_weight"]))
def test_the_thesis_runs_have_its_hyper_parameters(name: str) -> None:
    found = {leaf.path: leaf.value for leaf in settings(configure("carml", name))}
    assert {path: found[path] for path in GOLDEN["shared"]} == GOLDEN["shared"]
    assert found["ppo.entropy_weight"] == GOLDEN["entropy_weight"][name]
    assert found["environment.name"] == name


@pytest.mark.parametrize("name", list(presets("carml")))
def test_presets_can_be_written_and_read(name: str) -> None:
    config = configure("carml", name)
    assert from_mapping(CARMLConfig, to_mapping(config)) == config

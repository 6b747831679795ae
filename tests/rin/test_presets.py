"""Presets: the thesis' tables, and settings that are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from scalable_binding.cli.settings import presets as presets_of
from scalable_binding.engine.config import from_mapping, override, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.rin import presets
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.presets import digits

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rin.json").read_text())


@pytest.mark.parametrize(("preset", "row"), GOLDEN["table_2_4"].items())
def test_models_are_those_of_table_2_4(preset: str, row: dict[str, Any]) -> None:
    model = getattr(presets, preset)().model
    grid = [side // cut for side, cut in zip(model.size, model.patch, strict=True)]
    assert [*model.size] == row["size"] and [*model.patch] == row["patch"]
    assert [model.num_blocks, model.num_layers] == row["blocks"]
    assert model.num_latents == row["latents"] and model.latent_width == row["latent_width"]
    assert model.interface_width == row["interface_width"] and math.prod(grid) == row["tokens"]
    assert model.num_heads == model.cross_heads == row["heads"]


@pytest.mark.parametrize(("preset", "row"), GOLDEN["table_2_5"].items())
def test_training_is_that_of_table_2_5(preset: str, row: dict[str, Any]) -> None:
    config = getattr(presets, preset)()
    fit = config.fit
    assert (fit.steps, fit.batch_size) == (row["updates"], row["batch"])
    assert fit.optimizer.name == "lamb" and fit.optimizer.betas[1] == 0.999
    assert fit.optimizer.weight_decay == row["weight_decay"]
    assert fit.schedule.curve == row["curve"]
    assert fit.ema.decay == row["ema"]
    assert config.diffusion.self_conditioning == row["self_conditioning"]


def test_what_the_thesis_leaves_open_is_not_taken_from_its_ablations() -> None:
    assert presets.imagenet64().fit.optimizer.lr == presets.imagenet128().fit.optimizer.lr == 1e-3
    assert not presets.kinetics().data.flip


@pytest.mark.parametrize("name", presets_of("rin"))  # type: ignore[arg-type]
def test_every_preset_survives_being_written_and_tells_its_command(name: str) -> None:
    function = presets_of("rin")[name]  # type: ignore[arg-type]
    config = function()
    assert from_mapping(RINConfig, to_mapping(config)) == config
    text = " ".join(str(function.__doc__).split()).lower()
    if name != "debug":
        assert "command:" in text
        assert any(word in text for word in ("measured", "not run by us"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model.size": "9,8"},
        {"model.num_classes": "0"},
        {"model.drop_path": "1"},
        {"model.embedding_std": "0"},
        {"diffusion.scale": "0"},
        {"diffusion.self_conditioning": "1.1"},
        {"diffusion.label_dropout": "-0.1"},
        {"diffusion.schedule": "square"},
        {"diffusion.schedule": "cosine", "diffusion.temperature": "0.9"},
        {"diffusion.min_snr": "0"},
        {"data.kind": "music"},
        {"data.fps": "0"},
        {"sample_every": "-1"},
        {"sample_steps": "0"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(UserError):
        override(digits(), changes)

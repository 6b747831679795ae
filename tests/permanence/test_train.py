"""Training: what is written, resumed and loaded; presets; and that it learns, in miniature."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from permanence.clips import batch, network
from scalable_binding.engine.config import from_mapping, override, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.permanence import objective, train
from scalable_binding.permanence.inference import load
from scalable_binding.permanence.presets import (
    LossConfig,
    PermanenceConfig,
    debug,
    paper,
    small,
)

TINY = {
    "model.widths": "4,6",
    "model.width": "6",
    "games.num_games": "2",
    "games.num_frames": "4",
    "fit.steps": "3",
    "fit.batch_size": "2",
    "fit.save_every": "2",
    "fit.progress": "false",
    "fit.device": "cpu",
}


def tiny(**changes: str) -> PermanenceConfig:
    return override(debug(), {**TINY, **changes})


@pytest.mark.parametrize("preset", [paper, small, debug])
def test_presets_survive_json(preset: object) -> None:
    config = preset()  # type: ignore[operator]
    mapping = json.loads(json.dumps(to_mapping(config), allow_nan=False))
    assert from_mapping(PermanenceConfig, mapping) == config


def test_a_run_is_written_resumed_and_loaded(tmp_path: Path) -> None:
    whole = train.train(tiny(), tmp_path / "whole")
    train.train(tiny(**{"fit.steps": "2"}), tmp_path / "parts")
    resumed = train.train(tiny(), tmp_path / "parts")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    loaded = load(tmp_path / "parts")
    assert loaded.arguments == whole.arguments
    lines = (tmp_path / "whole" / "log.jsonl").read_text().splitlines()
    assert {"walk", "detect", "visibility", "gap"} <= json.loads(lines[-1]).keys()


def test_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (train.build(tiny(**{"fit.seed": seed})) for seed in "001")
    assert torch.equal(first.encoder.conv1.weight, again.encoder.conv1.weight)
    assert not torch.equal(first.encoder.conv1.weight, other.encoder.conv1.weight)


def test_every_parameter_learns() -> None:
    model = network().train()
    objective.loss(model, batch(), torch.Generator(), LossConfig())[0].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.slow
def test_it_learns_one_game_by_heart() -> None:
    """Walks, sizes and sight of four games, in a few hundred small steps."""
    config = tiny(**{"model.width": "12", "model.widths": "8,12", "games.num_games": "4"})
    model = train.build(config).train()
    clips = train.open_clips(config.games, 0)
    examples = [clips[index] for index in range(4)]
    both = {name: torch.stack([e[name] for e in examples]) for name in examples[0]}
    loss = partial(objective.loss, config=config.loss)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    history = []
    for _ in range(120):
        value, metrics = loss(model, both, torch.Generator())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        history.append({name: float(metric) for name, metric in metrics.items()})
    assert history[-1]["walk"] < 0.5 * history[0]["walk"]
    assert history[-1]["detect"] < 0.5 * history[0]["detect"]
    assert history[-1]["gap"] < 0.6 * history[0]["gap"]


@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        ("model.kernel", "4", "model.kernel: expected an odd number"),
        ("model.reach", "0", "model.reach: expected a share"),
        ("model.temperature", "0", "model.temperature: expected a number above 0"),
        ("games.size", "30", "games.size: expected a multiple of 4"),
        ("games.num_frames", "1", "games.num_frames: expected at least 2"),
        ("loss.gamma", "-1", "loss.gamma: expected a number of at least 0"),
    ],
)
def test_bad_settings_are_one_line(setting: str, value: str, line: str) -> None:
    with pytest.raises(UserError, match=line):
        override(small(), {setting: value})

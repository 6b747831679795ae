"""The chapter on CARML, with an agent that has hardly been trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalable_binding.carml import presets
from scalable_binding.carml.train import train
from scalable_binding.data.frames import images, videos
from scalable_binding.demo import carml
from scalable_binding.demo.config import CARMLSettings, DemoConfig
from scalable_binding.demo.context import Context
from scalable_binding.engine.config import override
from scalable_binding.errors import UserError

FEW = {
    "environment.options": ["size=24", "episode_length=12"],
    "fit.steps": 1,
    "fit.batch_size": 8,
    "model.widths": [8],
    "model.hidden": 8,
    "curriculum.period": 1,
    "curriculum.reservoir": 32,
    "curriculum.first_trials": 16,
    "validation.every": 0,
    "scaffold.deep_clusters.max_batches": 2,
    "scaffold.deep_clusters.rounds": 1,
    "scaffold.deep_clusters.width": 8,
    "scaffold.deep_clusters.states": 3,
    "scaffold.mixture.components": 4,
    "scaffold.deep_clusters.components": 4,
}


def context(out: Path, run: Path | None) -> Context:
    few = CARMLSettings(
        run=None if run is None else str(run), num_trials=24, num_tasks=6, num_shown=2
    )
    return Context(DemoConfig(carml=few), out)


@pytest.mark.slow
def test_tasks_and_trials_are_shown(tmp_path: Path) -> None:
    train(override(presets.room(), FEW), tmp_path / "run")
    out = tmp_path / "out"
    shown = carml.sections(context(out, tmp_path / "run"))
    assert [section.name for section in shown] == ["room-skills", "room-trials", "own"]
    for name in ("skills-early.png", "skills-late.png"):
        height, width = images.probe(out / "room" / name)
        assert height >= 112 and width >= 112
    assert videos.probe(out / "room" / "trials.mp4").num_frames == 12
    scores = {section.name: section.scores for section in shown}
    assert 0 < scores["room-skills"]["last round"]["coverage"] <= 1
    reached = scores["room-trials"]["reached"]
    assert set(reached) == {"agent", "random"}
    assert all(len(shares) == 4 and min(shares) >= 0 for shares in reached.values())


def test_an_agent_that_is_not_shipped_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carml.weights, "ROOT", tmp_path / "nothing")
    shown = carml.sections(context(tmp_path, None))
    assert "has no trained agent" in shown[0].blocks[0] and shown[1].name == "own"


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="num_trials: expected at least 1"):
        CARMLSettings(num_trials=0)
    with pytest.raises(UserError, match="num_shown: expected at most num_tasks, 2, got 3"):
        CARMLSettings(num_tasks=2, num_shown=3)

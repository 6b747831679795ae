"""The chapter on hidden objects, with an untrained network."""

from __future__ import annotations

from pathlib import Path

import pytest

from permanence.clips import network
from permanence.test_inference import saved
from scalable_binding.data.frames import videos
from scalable_binding.demo import DemoConfig, permanence
from scalable_binding.demo.config import PermanenceSettings
from scalable_binding.demo.context import Context
from scalable_binding.errors import UserError
from scalable_binding.permanence import inference


@pytest.mark.slow
def test_a_game_of_each_kind_is_shown(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", network())
    settings = PermanenceSettings(weights=str(run), num_games=1)
    out = tmp_path / "out"
    shown = permanence.sections(Context(DemoConfig(permanence=settings), out))
    assert [section.name for section in shown] == ["games", "own"]
    for name in ("occlusion", "containment", "carrying", "shell-game"):
        assert videos.probe(out / f"{name}.mp4").num_frames == 16
    assert {"hidden", "visible"} <= shown[0].scores["last seen"].keys()


def test_what_is_not_shipped_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "SHIPPED", tmp_path / "nowhere")
    (shown,) = permanence.sections(Context(DemoConfig(), tmp_path / "out"))
    assert "has no trained tracker" in shown.blocks[0]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="num_games: expected at least 1"):
        PermanenceSettings(num_games=0)

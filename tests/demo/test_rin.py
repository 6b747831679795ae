"""The chapter on recurrent interface networks, with untrained networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from rin import untrained
from scalable_binding.data.frames import images, videos
from scalable_binding.demo import DemoConfig, RINSettings, rin
from scalable_binding.demo.context import Context
from scalable_binding.errors import UserError
from scalable_binding.rin import inference, pretrained


def context(out: Path, **settings: object) -> Context:
    few = {"steps": 3, "num_rows": 2, "num_futures": 2}
    return Context(DemoConfig(rin=RINSettings(**few | settings)), out)  # type: ignore[arg-type]


@pytest.mark.slow
def test_both_networks_are_shown(tmp_path: Path) -> None:
    still = untrained.save(untrained.images(), tmp_path / "still")
    moving = untrained.videos(size=(6, 32, 32), patch=(2, 8, 8))
    moving_run = untrained.save(moving, tmp_path / "moving")
    out = tmp_path / "out"
    shown = rin.sections(context(out, digits=str(still), moving_digits=str(moving_run)))
    assert [section.name for section in shown] == ["digits", "moving-digits", "own"]
    assert images.probe(out / "digits.png") == (2 * 50 + 2, 10 * 50 + 2)
    assert videos.probe(out / "digits.mp4").num_frames == 3 + 20
    assert videos.probe(out / "futures.mp4").num_frames == 2 + 2 * 4
    scores = {section.name: section.scores for section in shown}
    assert 0 < scores["digits"]["entropy"]["last step"] <= 1
    assert scores["moving-digits"]["squared error"] > 0
    assert scores["moving-digits"]["squared error of repeating a frame"] > 0


def test_what_is_not_shipped_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "SHIPPED", tmp_path)
    shown = rin.sections(context(tmp_path / "out"))
    assert "has no trained network for moving digits" in shown[1].blocks[0]
    with pytest.raises(UserError, match="holds no network digits"):
        inference.load("digits")


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="num_rows: expected at least 1"):
        RINSettings(num_rows=0)

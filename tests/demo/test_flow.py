"""The chapter on flow: files, scores and words, with a small network of no training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from flow.small import network
from scalable_binding.data.frames import videos
from scalable_binding.demo import flow
from scalable_binding.demo.config import DemoConfig, FlowSettings
from scalable_binding.demo.context import Context
from scalable_binding.errors import UserError
from scalable_binding.flow import model


@pytest.fixture
def context(tmp_path: Path) -> Context:
    small = network()
    save_file(small.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(model.arguments(small)))
    settings = FlowSettings(weights=str(tmp_path), height=64, width=96, num_frames=4)
    return Context(DemoConfig(flow=settings), tmp_path / "flow")


def test_flow_and_tracks_are_shown_and_scored(context: Context) -> None:
    found = {section.name: section for section in flow.sections(context)}
    assert list(found) == ["real", "flow", "tracks", "own"]
    assert videos.probe(context.out / "flow.mp4").num_frames == 3
    assert found["real"].scores["points"] == 8
    shown = videos.probe(context.out / "real_flow.mp4").num_frames
    assert shown == found["real"].scores["frames"] - 1
    scores = found["flow"].scores
    assert scores["no motion"]["EPE"] > 0 and scores["this network"]["EPE"] > 0
    assert 0 <= scores["this network"]["within 1 px"] <= scores["this network"]["within 3 px"] <= 1
    tracked = found["tracks"].scores
    assert all(0 <= value <= 1 for value in tracked.values())
    assert videos.probe(context.out / "tracks.mp4").num_frames == 4


def test_one_frame_is_no_clip() -> None:
    with pytest.raises(UserError, match="at least 2"):
        FlowSettings(num_frames=1)

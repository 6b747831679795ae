"""Training: what a run leaves, that it goes on to the same bits, and that it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scalable_binding.data.frames import videos
from scalable_binding.data.synthetic import SyntheticClips, WorldConfig
from scalable_binding.engine import randomness
from scalable_binding.engine.config import from_mapping, override
from scalable_binding.errors import UserError
from scalable_binding.flow import model, objective, train
from scalable_binding.flow.model import FlowNet
from scalable_binding.flow.presets import FlowConfig, chairs_like, debug, small

TINY = {
    "network.widths": "4,8,8,8",
    "network.width": "8",
    "network.head": "4",
    "network.radius": "2",
    "clips.size": "48",
    "clips.crop": "48",
    "loss.views.size": "32",
    "loss.starts": "8",
    "fit.steps": "3",
    "fit.batch_size": "2",
    "fit.save_every": "2",
    "fit.progress": "false",
    "picture_every": "2",
}


def tiny(**changes: str) -> FlowConfig:
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return override(debug(), TINY | named)


def same(a: FlowNet, b: FlowNet) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_leaves_weights_settings_and_pictures(tmp_path: Path) -> None:
    config = tiny()
    trained = train.train(config, [], tmp_path / "run")
    assert same(model.load(tmp_path / "run"), trained)
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["system"] == "flow" and record["widths"] == [4, 8, 8, 8]
    kept = {name: record[name] for name in ("network", "clips", "loss", "fit")}
    assert from_mapping(FlowConfig, kept | {"picture_every": 2}) == config
    pictures = sorted(path.name for path in (tmp_path / "run" / "flow").iterdir())
    assert pictures == ["0000002.png", "0000003.png"]
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert {"loss", "loss_cycle", "loss_direct", "epe_direct"} <= json.loads(lines[-1]).keys()


def test_a_run_that_was_stopped_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole = train.train(tiny(fit__steps="4", fit__schedule__curve="constant"), [], tmp_path / "a")
    for steps in ("2", "4"):
        config = tiny(fit__steps=steps, fit__schedule__curve="constant")
        resumed = train.train(config, [], tmp_path / "b")
    assert same(resumed, whole)


def test_clips_come_from_videos_and_from_the_world(tmp_path: Path) -> None:
    for seed in range(2):
        frames = SyntheticClips(WorldConfig(num_frames=6, height=48, width=64), seed)[0]["frames"]
        videos.write(tmp_path / "data" / f"clip{seed}", frames, fps=8)
    config = tiny(clips__synthetic="0.5", clips__num_frames="2").clips
    clips = train.open_clips(config, [tmp_path / "data"], 0)
    shapes = {tuple(clips[index]["frames"].shape) for index in range(4)}
    assert shapes == {(2, 3, 48, 48)}
    trained = train.train(tiny(clips__synthetic="0.5"), [tmp_path / "data"], tmp_path / "run")
    assert isinstance(trained, FlowNet)


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folders of videos"):
        train.train(tiny(clips__synthetic="0.5"), [], tmp_path / "run")
    with pytest.raises(UserError, match="multiple of 16"):
        train.train(tiny(clips__crop="50", clips__size="50"), [], tmp_path / "run")
    with pytest.raises(UserError, match=r"at most clips\.crop"):
        tiny(loss__views__size="64")


def test_presets_are_settings_that_fit_together() -> None:
    for preset in (chairs_like, small, debug):
        config = preset()
        assert config.clips.crop % 16 == 0
        assert train.build(override(config, {"network.head": "8"})).radius == config.network.radius


@pytest.mark.slow
def test_the_loss_falls_within_a_few_steps() -> None:
    config = debug()
    network = train.build(config).train()
    clips = train.open_clips(config.clips, [], 0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for step in range(12):
        frames = torch.stack([clips[4 * step + index]["frames"] for index in range(4)])
        total, _ = objective.loss(
            network, {"frames": frames}, randomness.generator(0, step), config.loss
        )
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(float(total.detach()))
    assert sum(losses[-4:]) / 4 < 0.75 * losses[0]

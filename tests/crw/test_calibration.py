"""Calibration: a reader fitted on frames, saved into a run or with its backbone, and reloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scalable_binding.cli import main
from scalable_binding.crw import calibration, inference, model, train
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.presets import debug
from scalable_binding.crw.reader_config import CalibrationConfig
from scalable_binding.data.frames import videos
from scalable_binding.data.synthetic import SyntheticClips, WorldConfig
from scalable_binding.engine.config import override
from scalable_binding.errors import UserError

FRAMES = CalibrationConfig(num_clips=2, size=48, crop=40)
READER = {"stages": "0,2,3", "components": "4", "scale": "0.5", "stride": "4"}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for seed in range(2):
        frames = SyntheticClips(WorldConfig(num_frames=12, height=48, width=64), seed)[0]["frames"]
        videos.write(tmp_path / "data" / f"clip{seed}", frames, fps=8)
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    encoder = model.draw(3, widths=(4, 8, 8), width=6).eval()
    encoder.save_pretrained(tmp_path / "run")
    return tmp_path / "run"


def same(a: Encoder, b: Encoder) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_a_reader_goes_into_a_run_and_leaves_the_backbone_alone(run: Path, clips: Path) -> None:
    before = (run / "model.safetensors").read_bytes(), (run / "config.json").read_bytes()
    found = calibration.calibrate(run, [clips], reader=READER, config=FRAMES)
    assert (run / "model.safetensors").read_bytes(), (run / "config.json").read_bytes() == before
    loaded = inference.load(run)
    assert isinstance(loaded, Encoder) and same(loaded, found)
    assert loaded.reader.stages == (0, 2, 3) and loaded.reader.is_fitted and loaded.stride == 8
    assert torch.equal(
        loaded.resnet.conv1.weight, model.draw(3, widths=(4, 8, 8)).resnet.conv1.weight
    )
    described = json.loads((run / "reader.json").read_text())
    assert described["calibration"]["videos"] == ["data"]
    again = calibration.calibrate(run, [clips], config=FRAMES)
    assert same(again, found)


def test_backbone_and_reader_go_into_a_folder_together(
    run: Path, clips: Path, tmp_path: Path
) -> None:
    before = sorted(path.name for path in run.iterdir())
    found = calibration.calibrate(run, [clips], tmp_path / "out", reader=READER, config=FRAMES)
    assert sorted(path.name for path in run.iterdir()) == before
    for loaded in (model.load(tmp_path / "out"), Encoder.from_pretrained(tmp_path / "out")):
        assert isinstance(loaded, Encoder) and same(loaded, found)


def test_the_command_does_the_same(run: Path, clips: Path, tmp_path: Path) -> None:
    options = ["--num-clips", "2", "--size", "48", "--crop", "40"]
    settings = [f"--set={name}={value}" for name, value in READER.items()]
    program = ["crw", "calibrate", str(run), str(clips), "--out", str(tmp_path / "out")]
    assert main([*program, *options, *settings]) == 0
    expected = calibration.calibrate(run, [clips], reader=READER, config=FRAMES)
    found = model.load(tmp_path / "out")
    assert isinstance(found, Encoder) and same(found, expected)


def test_untrained_is_what_ships_with_fresh_weights_and_statistics_of_the_frames() -> None:
    frames = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    shipped = model.load("shipped", frames=frames)
    first, again, other = (
        model.load(name, frames=frames) for name in ("untrained:3", "untrained:3", "untrained:4")
    )
    assert isinstance(shipped, Encoder) and isinstance(first, Encoder)
    assert isinstance(again, Encoder) and isinstance(other, Encoder)
    assert model.arguments(first) == model.arguments(shipped)
    assert same(first, again) and not same(first, other) and first.reader.is_fitted
    assert not torch.equal(first.resnet.conv1.weight, shipped.resnet.conv1.weight)


@pytest.mark.parametrize(
    ("weights", "line"),
    [
        ("untrained", "fit them on frames: --calibrate VIDEOS"),
        ("untrained:one", "expected a whole number for a seed"),
    ],
)
def test_untrained_weights_that_cannot_be_are_one_line(weights: str, line: str) -> None:
    frames = torch.rand(2, 3, 32, 32) if ":" in weights else None
    with pytest.raises(UserError, match=line):
        model.load(weights, frames=frames)


def test_a_reader_that_cannot_be_fitted_is_one_line(run: Path, clips: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no setting|does not exist|unknown"):
        calibration.calibrate(run, [clips], reader={"depth": "3"}, config=FRAMES)
    with pytest.raises(UserError, match="name a folder for the result: --out FOLDER"):
        calibration.calibrate("shipped", [clips], config=FRAMES)
    with pytest.raises(UserError, match="raw patches have no reader"):
        calibration.calibrate("raw", [clips], tmp_path / "out", config=FRAMES)


def test_a_damaged_reader_is_one_line(run: Path, clips: Path) -> None:
    calibration.calibrate(run, [clips], reader=READER, config=FRAMES)
    text = (run / "reader.json").read_text()
    for damaged in (
        "{",
        "[]",
        '{"reader": {"stages": [9]}}',
        text.replace('"components": 4', '"components": 3'),
    ):
        (run / "reader.json").write_text(damaged)
        with pytest.raises(UserError):
            model.load(run)


def test_a_run_with_whitening_is_calibrated_when_it_ends(clips: Path, tmp_path: Path) -> None:
    changes = {
        "encoder.widths": "4,8,8",
        "encoder.components": "4",
        "clips.synthetic": "0",
        "clips.size": "48",
        "clips.crop": "40",
        "walk.views.size": "32",
        "fit.steps": "2",
        "fit.batch_size": "2",
        "fit.progress": "false",
        "picture_every": "0",
    }
    trained = train.train(override(debug(), changes), [clips], tmp_path / "run")
    loaded = model.load(tmp_path / "run")
    assert isinstance(loaded, Encoder) and same(loaded, trained) and loaded.reader.is_fitted

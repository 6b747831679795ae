"""--device and --bfloat16: the same results on a device that is named, and one line without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cli import clip
from scalable_binding.cli import main
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import boxes, masks
from scalable_binding.nn.precision import bfloat16, has_fast_bfloat16


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("video")
    clip.write(folder)
    videos.write(folder / "pair", clip.scene()[0][:2], fps=8)
    boxes.write(folder / "boxes.csv", [boxes.Box(0, 1, 16.0, 16.0, 40.0, 40.0)])
    return folder


def _commands(made: Path, out: Path) -> dict[str, list[str]]:
    pair, points, boxed = (str(made / name) for name in ("pair", "points.csv", "boxes.csv"))
    return {
        "propagate": clip.tokens(made, out, video="three", labels="odd.png", weights="random"),
        "estimate": ["flow", "estimate", pair, "--out", str(out), "--weights", "random"],
        "track": ["flow", "track", pair, "--points", points, "--out", f"{out}.csv"],
        "permanence": ["permanence", "track", pair, "--boxes", boxed, "--out", str(out)],
    }


@pytest.mark.parametrize("command", ["propagate", "estimate", "track", "permanence"])
def test_a_device_that_is_missing_is_one_line(
    made: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for device in ("cuda:7", "meta", "abacus"):
        tokens = [*_commands(made, tmp_path / device.replace(":", ""))[command], "--device", device]
        assert main(tokens) == 2
        shown = capsys.readouterr().err
        assert "device" in shown and shown.strip().count("\n") == 0


def test_a_device_that_is_named_gives_the_same(made: Path, tmp_path: Path) -> None:
    for name, options in {"default": [], "cpu": ["--device", "cpu"]}.items():
        out = tmp_path / name
        assert main([*_commands(made, out)["propagate"], *options]) == 0
    for frame in range(3):
        one, other = (masks.read(tmp_path / n / f"{frame:05}.png") for n in ("default", "cpu"))
        assert torch.equal(one, other)


@pytest.mark.parametrize(("option", "choice"), [("--bfloat16", True), ("--no-bfloat16", False)])
def test_the_precision_asked_for_is_used(
    made: Path, tmp_path: Path, option: str, choice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scalable_binding.walk import neighbors

    asked: list[Any] = []

    def watched(device: str) -> bool:
        asked.append(has_fast_bfloat16(device))
        return bool(asked[-1])

    monkeypatch.setattr(neighbors, "has_fast_bfloat16", watched)
    assert main([*_commands(made, tmp_path / "out")["propagate"], option]) == 0
    assert asked and set(asked) == {choice}


def test_a_choice_of_precision_ends_with_its_scope() -> None:
    usual = has_fast_bfloat16("cpu")
    with bfloat16(not usual):
        assert has_fast_bfloat16("cpu") is not usual
        with bfloat16(None):
            assert has_fast_bfloat16("cpu") is usual
    assert has_fast_bfloat16("cpu") is usual


def test_raw_patches_stay_on_the_host(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scalable_binding.crw import calibration

    monkeypatch.setattr(calibration, "choose_device", lambda name: torch.device(name))
    assert main([*clip.tokens(made, tmp_path / "out", video="three", labels="odd.png"),
                 "--device", "cuda"]) == 2  # fmt: skip
    assert "raw patches: expected --device cpu" in capsys.readouterr().err

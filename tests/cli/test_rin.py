"""``sbind rin`` train and count: what is handed on, printed and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rin import untrained
from scalable_binding.cli import main
from scalable_binding.rin import flops, presets, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.flops import Count, Row


def run(*tokens: object) -> int:
    return main([str(token) for token in tokens])


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What training is called with; it does nothing."""
    calls: list[Any] = []
    monkeypatch.setattr(train, "train", lambda *arguments, **_: calls.append(arguments))
    return calls


def test_train_hands_on_preset_settings_and_data(trained: list[Any], tmp_path: Path) -> None:
    command = ("rin", "train", "a", "b", "--run", tmp_path, "--preset", "moving-digits")
    assert run(*command, "--fit.steps", 7, "--set", "model.num_latents=9") == 0
    [(config, data, folder)] = trained
    assert isinstance(config, RINConfig) and data == (Path("a"), Path("b")) and folder == tmp_path
    assert config.fit.steps == 7 and config.model.num_latents == 9
    assert config.model.size == presets.moving_digits().model.size
    assert run("rin", "train", "--run", tmp_path, "--preset", "moving_digits") == 0
    assert trained[1][0] == presets.moving_digits()


def test_without_a_preset_files_are_images_and_digits_need_none(
    trained: list[Any], tmp_path: Path
) -> None:
    assert run("rin", "train", "a", "--run", tmp_path) == 0
    assert run("rin", "train", "--run", tmp_path) == 0
    assert [config for config, *_ in trained] == [presets.images32(), presets.digits()]


def test_presets_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "presets", "rin") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"imagenet64", "kinetics", "cifar10", "digits", "moving-digits", "debug"} <= {*listed}
    assert run("config", "show", "rin", "--preset", "digits") == 0
    assert "diffusion.self_conditioning: 0.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        (("rin", "train", "--run", "x", "--preset", "digit"), "did you mean 'digits'?"),
        (("rin", "train", "--run", "x", "--model.size", "9,9"), "multiples of the patch 2 x 2"),
        (("rin", "train", "--run", "x", "--model.width", "9"), "width"),
        (("rin", "count", "--preset", "none"), "rin preset"),
        (("rin", "train", "nowhere", "--run", "x", "--preset", "cifar10"), "nowhere"),
        (("rin", "train", "--run", "x", "--preset", "cifar10"), "training data"),
        (("rin", "train", "a", "--run", "x", "--preset", "digits"), "data.kind=images"),
        (("rin", "train", "--run", "x", "--set", "fit.steps=1", "fit.seed=1"), "fit.seed=1"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_one_line(
    tokens: tuple[str, ...],
    named: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*tokens) == 2
    error = capsys.readouterr().err
    assert named in error and "Traceback" not in error
    assert not (tmp_path / "x").exists()


def test_count_prints_the_table_beside_the_thesis(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = Count(parameters=320_606_400, multiply_adds=170_726_455_296)
    row = Row(
        preset="imagenet512",
        task="IN 512 x 512",
        count=found,
        thesis_parameters=320.0,
        thesis_gflops=415.0,
    )
    monkeypatch.setattr(flops, "table", lambda: [row])
    assert run("rin", "count", "--json", tmp_path / "count.json") == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("IN 512"))
    assert line.split()[4:] == ["320.61", "320", "-0.61", "170.7", "341.5", "415"]
    assert "Kinetics: 5 given frames" in " ".join(printed.split())
    [record] = json.loads((tmp_path / "count.json").read_text())["rows"]
    assert record["count"]["parameters"] == 320_606_400 and record["thesis_gflops"] == 415


def test_count_of_a_preset_takes_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rin", "count", "--preset", "debug", "--model.num_blocks", 2) == 0
    two = capsys.readouterr().out
    assert run("rin", "count", "--preset", "debug") == 0
    one = capsys.readouterr().out
    assert int(one.split()[1].replace(",", "")) < int(two.split()[1].replace(",", ""))


def test_a_run_is_fine_tuned(tmp_path: Path) -> None:
    source = untrained.save(untrained.images(), tmp_path / "source")
    settings = ["fit.steps=1", "fit.progress=false", "sample_every=0", "validate_every=0"]
    chosen = [part for setting in settings for part in ("--set", setting)]
    given = ["--preset", "debug", "--run", tmp_path / "tuned", "--from", source]
    assert main(["rin", "train", *map(str, given), *chosen]) == 0
    tuned = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert tuned["latent_width"] == 16 and tuned["data"]["kind"] == "digits"

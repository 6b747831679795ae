"""Presets, configuration files and single settings from the command line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from scalable_binding.cli import main
from scalable_binding.cli.settings import configure
from scalable_binding.engine import config
from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    lr: float = 1e-4


@dataclass(frozen=True, kw_only=True)
class Train:
    steps: int = 100
    fps: float | None = None
    title: str = "yes: no"
    optimizer: Optimizer = field(default_factory=Optimizer)


@pytest.fixture(autouse=True)
def presets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of presets in place of the system's own."""
    module = ModuleType("scalable_binding.crw.presets")

    def small() -> Train:
        """For one laptop.

        More of it.
        """
        return Train()

    def kinetics() -> Train:
        return Train(steps=10_000)

    def _hidden() -> Train:
        return Train()

    for function in (small, kinetics, _hidden):
        function.__module__ = module.__name__
        setattr(module, function.__name__, function)
    module.__dict__["imported"] = field
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_later_sources_win(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("steps: 7\noptimizer: {lr: 1e-2}\nfps: 8\n")
    chosen = configure("crw", "kinetics", tmp_path / "run.yaml", ["steps=8", "optimizer.lr=1"])
    assert chosen == Train(steps=8, fps=8.0, optimizer=Optimizer(lr=1.0))


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        (
            "kinetic",
            [],
            "crw preset: expected one of small, kinetics, got 'kinetic'; did you mean 'kinetics'?",
        ),
        ("zzz", [], "crw preset: expected one of small, kinetics, got 'zzz'"),
        ("_hidden", [], "crw preset: expected one of small, kinetics, got '_hidden'"),
        ("small", ["steps"], "setting: expected NAME=VALUE, got 'steps'"),
        ("small", ["step=1"], "unknown setting 'step'; did you mean 'steps'?"),
        ("small", ["steps=x"], "setting 'steps': expected a whole number, got 'x'"),
    ],
)
def test_mistakes_name_what_there_is(preset: str, settings: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        configure("crw", preset, None, settings)
    assert str(caught.value) == message


def test_presets_are_listed_with_their_first_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "presets", "crw"]) == 0
    assert capsys.readouterr().out == "small     For one laptop.\nkinetics\n"


def test_what_show_prints_is_a_file_for_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["config", "show", "crw", "--preset", "kinetics", "--optimizer.lr", "3e-4"]
    assert main([*tokens, "--set", "fps=inf", "--json", str(tmp_path / "out" / "c.json")]) == 0
    shown = capsys.readouterr().out
    assert "# a whole number" in shown
    (tmp_path / "run.yaml").write_text(shown)
    expected = Train(steps=10_000, fps=float("inf"), optimizer=Optimizer(lr=3e-4))
    assert configure("crw", "small", tmp_path / "run.yaml") == expected
    saved = json.loads((tmp_path / "out" / "c.json").read_text())
    assert config.from_mapping(Train, saved) == expected


def test_unwritable_json_is_the_users_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "show", "crw", "--json", str(tmp_path)]) == 2
    assert f"--json {tmp_path}: expected a file, got a folder" in capsys.readouterr().err

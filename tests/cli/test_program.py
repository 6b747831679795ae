"""The program as a user's shell sees it: start-up, exit codes, streams."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

import scalable_binding.cli as program
from scalable_binding.cli import commands
from scalable_binding.engine.interruption import Interrupted
from scalable_binding.errors import UserError

PROPAGATE = ["crw", "propagate", "v", "--labels", "l", "--out", "o"]

TORCH_FREE = """
import sys
from scalable_binding.cli import main
code = main(sys.argv[1:])
heavy = {"torch", "numpy", "matplotlib", "av", "PIL"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else code)
"""


def _program(*tokens: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scalable_binding", *tokens],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    "tokens",
    [
        ["--help"],
        ["version"],
        ["crw", "--help"],
        ["crw", "train", "--help"],
        ["crw", "propagate", "--help"],
        ["crw", "evaluate", "--help"],
        ["config", "show", "--help"],
        ["demo", "--help"],
    ],
)
def test_help_does_not_import_torch(tokens: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TORCH_FREE, *tokens], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_command() -> None:
    shown = _program("--help").stdout
    assert all(f" {command} " in shown for command in ("crw", "config", "demo", "version"))


@pytest.mark.parametrize("spelling", ["version", "--version"])
def test_version_is_that_of_the_package(spelling: str) -> None:
    assert _program(spelling).stdout == version("scalable-binding") + "\n"


@pytest.mark.parametrize(
    ("tokens", "line"),
    [
        (["crv"], 'Unknown command "crv". Did you mean "crw"?'),
        (["crw", "trian"], 'Did you mean "train"?'),
        (["crw", "train", "a", "--runn", "b"], "Did you mean --run?"),
        (["crw", "train", "a"], "--run requires an argument"),
        ([*PROPAGATE, "--context", "x"], '"x"'),
        (["crw", "evaluate", "davids", "root"], 'Did you mean "davis"?'),
        ([*PROPAGATE, "--adaptation", "steps=3"], "no effect without --adapt"),
        ([*PROPAGATE, "--adapt", "--adaptation", "stepss=3"], "did you mean 'steps'?"),
        ([*PROPAGATE, "--radius", "0"], "radius: expected a number above 0, got 0"),
        ([*PROPAGATE, "--zoom", "9"], "zoom: expected 1 to 4, got 9"),
        (["crw", "evaluate", "davis"], "benchmark davis: expected the folder of its data"),
        (["crw", "train", "a", "--run", "r", "--optimizer.lr"], "--optimizer.lr: expected a value"),
    ],
)
def test_what_cannot_be_parsed_is_the_users_one_line(
    tokens: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(tokens) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("sbind: ") and captured.err.count("\n") == 1
    assert line in captured.err
    assert captured.out == ""


def _raising(error: BaseException) -> Callable[[list[str]], None]:
    def run(tokens: list[str]) -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("mask", expected="ids", got="none"), 2, "sbind: mask: expected ids, got none"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "sbind: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/r"), 2, "sbind: /r: Permission deni"),
        (Interrupted(Path("r"), 7, 15), 143, "sbind: stopped by SIGTERM at step 7; saved in r"),
        (KeyboardInterrupt(), 130, "sbind: interrupted; nothing was kept"),
        (KeyboardInterrupt("all is in x"), 130, "sbind: interrupted; all is in x"),
    ],
)
def test_endings_that_are_not_ours_are_one_line_without_traceback(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(commands, "run", _raising(error))
    assert program.main([]) == code
    shown = capsys.readouterr().err
    assert shown.startswith(line) and shown.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("boom"), FileNotFoundError(errno.ENOENT, "boom")])
def test_bugs_show_a_traceback_and_say_so(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "run", _raising(error))
    assert program.main([]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and "boom" in lines[-2]
    assert lines[-1].startswith("sbind: this is a bug in scalable-binding")


def test_a_reader_that_stops_early_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "scalable_binding", "version"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, "PASSIVE 1000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7"),
        ({"OMP_WAIT_POLICY": "a"}, "a None"),
    ],
)
def test_idle_threads_spin_briefly_unless_told_otherwise(given: dict[str, str], kept: str) -> None:
    ours = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in os.environ.items() if k not in ours} | given
    code = "import os; from scalable_binding.cli import main; main(['version'])\n"
    code += "print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[-1] == kept


def test_warnings_are_one_line_without_our_source() -> None:
    code = "import warnings; from scalable_binding.cli import main; main(['version'])\n"
    code += "warnings.warn('clip x.mp4 is cut')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "sbind: warning: clip x.mp4 is cut\n"


def test_options_with_a_dot_or_an_underscore_are_settings() -> None:
    spelled = commands.spell_settings(["a_.mp4", "--run", "r.x", "--a.b", "-1", "--c.d.e=2"])
    assert spelled == ["a_.mp4", "--run", "r.x", "--set", "a.b=-1", "--set", "c.d.e=2"]
    assert commands.spell_settings(["--a_b", "3"]) == ["--set", "a_b=3"]

"""Numbers and texts that no command accepts end in one line and exit code 2."""

from pathlib import Path

import pytest

from scalable_binding.cli import main


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (
            ["rin", "sample", "digits", "--out", "o", "--num", "9" * 30],
            "--num: expected at most 10^9",
        ),
        (["rin", "sample", "digits", "--out", "o", "--seed", "-1"], "seed"),
        (["rin", "sample", "digits", "--out", "o", "--seed", str(2**63)], "--seed: expected"),
        (
            ["rin", "sample", "digits", "--out", "o", "--device", "meta"],
            "device: expected one that",
        ),
        (["rin", "sample", "digits", "--out", "o", "--batch-size", "9" * 40], "--batch-size"),
        (
            ["rin", "predict", "digits", "v", "--out", "o", "--fps", "1e-300"],
            "--fps: expected 0.001",
        ),
        (["rin", "predict", "digits", "v", "--out", "o", "--fps", "nan"], "--fps: expected 0.001"),
        (["rin", "attend", "digits", "--out", "\udcff"], "argument 5: expected UTF-8 text"),
        (["crw", "propagate", "v", "--labels", "l", "--out", "o", "--size", "9" * 20], "--size"),
        (["carml", "adapt", "maze", "--task", "goal=1,1", "--seed", "-5"], "--seed: expected"),
        (["carml", "adapt", "maze", "--task", "goal=1,1", "--trials", "9" * 25], "--trials"),
        (["carml", "evaluate", "maze", "--report", ""], "--report: expected the name of a file"),
        (["carml", "evaluate", "maze", "--json", ""], "--json"),
        (["config", "show", "crw", "--set", "fit.steps=" + "9" * 25], "fit.steps"),
        (["config", "show", "crw", "--set", "fit.seed=-1"], "seed"),
        (["demo", "--seed", "-3", "--out", "o"], "--seed: expected a whole number from 0"),
        (["permanence", "track", "synthetic", "--out", "o", "--seed", "-3"], "--seed: expected"),
    ],
)
def test_out_of_bounds_is_refused(
    tokens: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(tokens) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("sbind: ") and words in line


def test_what_cannot_be_allocated_tells_the_memory_it_would_need(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--set", "encoder.widths=9999999,9999999,9999999"]
    assert main(["crw", "train", "--run", str(tmp_path / "run"), "--preset", "debug", *sizes]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "not enough memory: this needs" in line and "GiB" in line

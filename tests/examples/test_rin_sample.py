"""The example runs, on a network without training, and writes its picture."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from rin import untrained
from scalable_binding.data.frames import images

EXAMPLE = Path(__file__).parents[2] / "examples" / "rin_sample.py"


def test_digits_come_out_of_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = untrained.save(untrained.images(), tmp_path / "run")
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(str(run), str(tmp_path / "digits.png"), "9")
    assert images.probe(tmp_path / "digits.png") == (8 * 34 + 2, 10 * 34 + 2)
    said = capsys.readouterr().out
    assert said.count("contrast") == 8 and "times as much as if reading were uniform" in said

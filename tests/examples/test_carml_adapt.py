"""The example runs, on an agent that has learned next to nothing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from carml import runs

EXAMPLE = Path(__file__).parents[2] / "examples" / "carml_adapt.py"


def test_agent_tries_four_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs.make(tmp_path / "run")
    capsys.readouterr()
    main = runpy.run_path(str(EXAMPLE))["main"]
    main(str(run), "250", "60")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"episode {n}" for n in (1, 2, 3, 4)]

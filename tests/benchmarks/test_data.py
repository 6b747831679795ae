"""The benchmark of data sets runs, at a size that says nothing of speed."""

import json
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_data_sets_are_timed_beside_bare_decoding(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    report = tmp_path / "found.json"
    options = ["--num", "20", "--rounds", "1", "--json", str(report)]
    monkeypatch.setattr(sys, "argv", ["throughput", *options])
    runpy.run_module("benchmarks.data.throughput", run_name="__main__")
    rows = {row[""]: row for row in json.loads(report.read_text())["rows"]}
    assert rows["digits"]["examples"] == 100 and rows["ZIP of JPEGs"]["examples"] == 20
    assert all(row["a second"] > 0 for row in rows.values())

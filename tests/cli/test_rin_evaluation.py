"""``sbind rin evaluate``: what is printed and written, and what is refused in one line."""

import json

import pytest

from rin import untrained
from scalable_binding.cli import main
from scalable_binding.rin.config import DiffusionConfig


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    untrained.save(untrained.images(), folder / "digits", data={"kind": "digits"})
    files = untrained.images(DiffusionConfig(), channels=3, num_classes=0)
    untrained.save(files, folder / "files", data={"kind": "images"})
    return folder


def run(*tokens):
    return main([str(token) for token in ("rin", "evaluate", *tokens)])


def refused(capsys, *tokens):
    assert run(*tokens) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_scores_are_printed_with_the_network_that_made_them(runs, tmp_path, capsys):
    report = tmp_path / "report.json"
    few = ("--num", 70, "--num-real", 70, "--steps", 2, "--device", "cpu", "--json", report)
    assert run(runs / "digits", *few) == 0
    printed = capsys.readouterr().out
    for name in ("held-out loss", "at times 0.9 to 1.0", "frechet", "class accuracy"):
        assert name in printed
    assert "not the standard Inception" in printed.splitlines()[-1]
    written = json.loads(report.read_text())
    assert written["num"] == 70 and written["features"]["is_standard"] is False


def test_what_the_user_got_wrong_is_one_line(runs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "no images under" in refused(capsys, runs / "files", tmp_path / "empty")
    assert "got none" in refused(capsys, runs / "files")
    assert "no such run" in refused(capsys, tmp_path / "missing")
    assert "num: expected at least 2, got 1" in refused(capsys, runs / "digits", "--num", 1)
    assert "card.json" in refused(capsys, runs / "digits", "--features", tmp_path / "empty")
    assert "steps" in refused(capsys, runs / "digits", "--steps", 0)

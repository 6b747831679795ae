"""`sbind carml adapt`, `finetune`, `evaluate`: what they print, and what they refuse in a line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from carml import runs
from scalable_binding.carml import train
from scalable_binding.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.make(tmp_path_factory.mktemp("runs") / "run")


def refused(capsys: pytest.CaptureFixture[str], *tokens: object) -> str:
    """The one line with which the program leaves."""
    capsys.readouterr()
    assert main(["carml", *map(str, tokens)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_adapt_prints_and_writes_every_episode(run, tmp_path, capsys):
    file = tmp_path / "scores.json"
    options = ["--task", "goal=250,80", "--trials", "4", "--episodes", "3", "--json", str(file)]
    assert main(["carml", "adapt", str(run), *options]) == 0
    assert capsys.readouterr().out.count("reached in") == 3
    scores = json.loads(file.read_text())
    assert len(scores["success"]) == len(scores["return"]) == 3


def test_finetune_makes_a_run_of_its_own(run, tmp_path, capsys):
    out = tmp_path / "tuned"
    options = ["--task", "goal=250,80", "--updates", "1", "--fit.optimizer.lr", "1e-4"]
    assert main(["carml", "finetune", str(run), "--out", str(out), *options]) == 0
    record = json.loads((out / "config.json").read_text())
    assert record["start"] == {"weights": str(run), "part": "policy"}
    assert record["method"] == "ppo"
    assert record["fit"]["optimizer"]["lr"] == 1e-4


@pytest.mark.slow
def test_evaluate_writes_a_report_with_everything_in_it(run, tmp_path, capsys):
    page, file = tmp_path / "report.html", tmp_path / "scores.json"
    options = ["--tasks", "8", "--report", str(page), "--json", str(file)]
    assert main(["carml", "evaluate", str(run), *options]) == 0
    found = json.loads(file.read_text())
    assert {"agent", "random", "swapped", "zero", "agent minus swapped"} <= set(found)
    text = page.read_text()
    assert text.count("data:image/png") == 4
    for title in ("Unseen tasks", "Learning", "Tasks that it made", "Trials of unseen tasks"):
        assert f"<h2>{title}</h2>" in text
    names = {path.name for path in (tmp_path / "report-pictures").glob("*.png")}
    assert names == {"transfer.png", "learning.png", "skills.png", "trials.png"}


@pytest.mark.slow
def test_report_of_a_vae_shows_its_mean_trajectories(tmp_path, capsys):
    run = runs.make(tmp_path / "run", scaffold__kind="vae", scaffold__vae__epochs=2)
    page = tmp_path / "report.html"
    assert main(["carml", "evaluate", str(run), "--tasks", "4", "--report", str(page)]) == 0
    assert "Mean trajectories of 16 tasks" in page.read_text()
    assert (tmp_path / "report-pictures" / "reconstructions.png").exists()


@pytest.mark.slow
def test_report_of_a_damaged_run_draws_what_can_be_drawn_and_says_what_is_missing(
    run, tmp_path, capsys
):
    broken, page = tmp_path / "broken", tmp_path / "report.html"
    shutil.copytree(run, broken)
    lines = (broken / "log.jsonl").read_bytes()
    (broken / "log.jsonl").write_bytes(b"\xff\xfe{[\n" + lines[:40] + b"\n" + lines)
    for file in (broken / "rounds").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:-100])
    (broken / "rewards.json").write_text("{]")
    with pytest.warns(UserWarning, match=r"rewards\.json.*statistics of a first batch"):
        assert main(["carml", "evaluate", str(broken), "--tasks", "4", "--report", str(page)]) == 0
    text = page.read_text()
    assert text.count("Not drawn: ") == 2, "rounds, and the trials that need the statistics"
    assert "01.safetensors" in text and "statistics of a first batch" in text
    names = {path.name for path in (tmp_path / "report-pictures").glob("*.png")}
    assert {"transfer.png", "learning.png"} <= names


@pytest.mark.parametrize("command", ["adapt", "finetune", "evaluate"])
def test_code_that_a_run_names_is_not_imported(run, tmp_path, capsys, monkeypatch, command):
    stranger, marker = tmp_path / "stranger", tmp_path / "it-ran"
    shutil.copytree(run, stranger)
    (tmp_path / f"evil_{command}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    record = json.loads((stranger / "config.json").read_text())
    record["environment"] = {"name": f"evil_{command}:Mine-v0", "options": []}
    (stranger / "config.json").write_text(json.dumps(record))
    options = {
        "adapt": ["--task", "own"],
        "finetune": ["--task", "own", "--out", tmp_path / "out"],
        "evaluate": [],
    }[command]
    line = refused(capsys, command, stranger, *options)
    assert f"would import the module 'evil_{command}'; if you know this code, say --trust" in line
    assert not marker.exists()
    refused(capsys, command, stranger, *options, "--trust")
    assert marker.exists() or command == "evaluate"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--task", "home"), "expected goal=X,Y"),
        (("--task", "object=1"), "object"),
        (("--task", "own", "--trials", "0"), "--trials: expected a whole number of at least 1"),
        (("--task", "gone.py:f"), "cannot import gone.py"),
        (("--task", "goal=9999,1"), "goal=X,Y: expected a place, 0 to 500, got '9999,1'"),
        (("--task", "goal=nan,1"), "expected a place"),
        ((), "task"),
    ],
)
def test_adapt_refuses(run, capsys, options, message):
    assert message in refused(capsys, "adapt", run, *options)


def test_a_task_of_ones_own_that_fails_is_told_by_file_and_line(run, tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("def pay(observation, truth):\n    return truth['nope']\n")
    line = refused(capsys, "adapt", run, "--task", f"{file}:pay", "--trials", "2")
    assert line.endswith("mine.py:pay raised KeyError: 'nope' (mine.py, line 2)")
    file.write_text("1 / 0\n")
    line = refused(capsys, "adapt", run, "--task", f"{file}:pay", "--trials", "2")
    assert (
        "cannot import" in line and "ZeroDivisionError: division by zero (mine.py, line 1)" in line
    )


def test_folders_that_are_no_runs_of_carml_are_refused(tmp_path, capsys):
    assert "cannot read its config.json: there is none" in refused(
        capsys, "adapt", tmp_path, "--task", "own"
    )
    (tmp_path / "config.json").write_text('{"system": "rin"}')
    line = refused(capsys, "evaluate", tmp_path)
    assert "expected a run of carml, got rin" in line


def test_damaged_weights_are_refused(run, tmp_path, capsys):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"nothing of the kind")
    assert "model.safetensors" in refused(capsys, "adapt", tmp_path, "--task", "own")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected --task or --distribution, got neither"),
        (("--task", "own", "--distribution"), "got both"),
        (("--task", "own", "--updates", "0"), "--updates"),
        (("--task", "home"), "expected goal=X,Y"),
        (("--task", "own", "--reward.weight", "2"), "expected a number in [0, 1]"),
    ],
)
def test_finetune_refuses(run, tmp_path, capsys, options, message):
    out = tmp_path / "out"
    assert message in refused(capsys, "finetune", run, "--out", out, *options)
    assert not (out / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reward.weight", "1.5"), "expected a number in [0, 1], got 1.5"),
        (("--curriculum.reservoir", "3", "--scaffold.mixture.components", "16"), "components"),
        (("--method", "ppo"), "a task with method ppo"),
        (("--method", "magic"), "method"),
        (("--start.weights", "/nowhere"), "/nowhere"),
    ],
)
def test_train_refuses(tmp_path, capsys, options, message):
    small = ["--fit.batch_size", "8", "--curriculum.first_trials", "8", "--validation.every", "0"]
    assert message in refused(capsys, "train", "--run", tmp_path / "run", *small, *options)


def test_run_of_another_environment_is_refused(run, capsys):
    line = refused(capsys, "train", "--run", run, "--env", "room", "--preset", "maze")
    assert "expected a run in" in line and "choose another folder" in line


def test_another_environment_does_not_get_the_options_of_the_preset(tmp_path, monkeypatch):
    """The room's speed and turn are nothing that a user's environment knows."""
    seen = []
    monkeypatch.setattr(train, "train", lambda config, run: seen.append(config.environment))
    given = ["carml", "train", "--run", str(tmp_path / "run"), "--preset", "room"]
    assert main([*given, "--env", "CartPole-v1"]) == 0
    assert main([*given, "--env", "CartPole-v1", "--environment.options", "size=16"]) == 0
    assert main([*given, "--env", "room"]) == 0
    assert [dict(found.arguments()) for found in seen[:2]] == [{}, {"size": 16}]
    assert seen[2].arguments()["speed"] == 60


def test_length_and_observation_are_options_of_their_own(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(train, "train", lambda config, run: trained.append(config.environment))
    own = ["--env", "CartPole-v1", "--episode-length", "9", "--observation", "image"]
    assert main(["carml", "train", "--run", str(tmp_path / "run"), *own]) == 0
    assert trained[0].arguments() == {"episode_length": 9, "observation": "image"}
    room = ["--preset", "room", "--episode-length", "9"]
    assert main(["carml", "train", "--run", str(tmp_path / "room"), *room]) == 0
    assert trained[1].arguments() == {"size": 24, "speed": 60, "turn": 45, "episode_length": 9}

"""``sbind permanence``: what it writes, and that what it cannot use ends in one line and code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.clip import COUNT, HEIGHT, WIDTH
from permanence.clips import network
from permanence.test_inference import saved
from scalable_binding.cli import main
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import boxes
from scalable_binding.data.labels.boxes import Box


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network without training, as a run leaves it."""
    return saved(tmp_path_factory.mktemp("runs") / "run", network())


@pytest.fixture
def first(tmp_path: Path) -> Path:
    path = tmp_path / "first.csv"
    boxes.write(path, [Box(0, 3, 4.0, 5.0, 20.0, 25.0), Box(2, 8, 10.0, 5.0, 30.0, 25.0)])
    return path


def follow(video: Path, weights: Path, out: Path, *more: str) -> int:
    return main(
        ["permanence", "track", str(video), "--out", str(out), "--weights", str(weights), *more]
    )


def test_boxes_of_a_video(folder: Path, weights: Path, first: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert follow(folder / "frames", weights, out, "--boxes", str(first)) == 0
    found = boxes.read(out / "boxes.csv")
    assert [box.frame for box in found if box.id == 3] == list(range(COUNT))
    assert [box.frame for box in found if box.id == 8] == list(range(2, COUNT))
    assert found[0].corners == (4, 5, 20, 25)
    info = videos.probe(out / "overlay.mp4")
    assert info.num_frames == COUNT and info.height % HEIGHT == 0 and info.width % WIDTH == 0
    assert follow(folder / "frames", weights, out, "--boxes", str(first)) == 2


def test_an_object_may_come_later_than_the_first_frame(
    folder: Path, weights: Path, tmp_path: Path
) -> None:
    late, out = tmp_path / "late.csv", tmp_path / "out"
    boxes.write(late, [Box(2, 8, 10.0, 5.0, 30.0, 25.0)])
    assert follow(folder / "frames", weights, out, "--boxes", str(late)) == 0
    found = boxes.read(out / "boxes.csv")
    assert [box.frame for box in found] == list(range(2, COUNT))
    assert videos.probe(out / "overlay.mp4").num_frames == COUNT


def test_a_synthetic_game_knows_its_boxes(weights: Path, tmp_path: Path) -> None:
    more = ("--kind", "carrying", "--seed", "2")
    assert follow(Path("synthetic"), weights, tmp_path / "out", *more) == 0
    found = boxes.read(tmp_path / "out" / "boxes.csv")
    assert {box.frame for box in found} == set(range(16))


def test_an_evaluation_is_printed_and_kept(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scores.json"
    given = ["--weights", str(weights), "--num", "1", "--json", str(path)]
    assert main(["permanence", "evaluate", "synthetic", *given]) == 0
    text = capsys.readouterr().out
    assert "mean overlap (IoU)" in text and "constant velocity" in text
    assert json.loads(path.read_text())["scores"]["model"]["distance"]["all"]["hidden"] > 0


def test_training_leaves_a_run_that_loads(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small = ["--fit.steps", "2", "--games.num-games", "2", "--fit.progress", "false"]
    settings = [token.replace("num-games", "num_games") for token in small]
    assert main(["permanence", "train", "--run", str(run), "--preset", "debug", *settings]) == 0
    assert (run / "model.safetensors").is_file() and (run / "config.json").is_file()


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("frame,id,x0,y0,x1,y1\n0,1,2,2,9,9\n99,1,2,2,9,9\n", "boxes of frame 99"),
        ("frame,id,x0,y0,x1,y1\n0,1,900,2,909,9\n", "object 1 in frame 0 is outside the frame"),
        ("frame,id,x,y\n0,1,2,2\n", "its first line must name the columns"),
    ],
)
def test_boxes_that_cannot_be_used_are_one_line(
    table: str,
    line: str,
    folder: Path,
    weights: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = tmp_path / "given.csv"
    given.write_text(table)
    assert follow(folder / "frames", weights, tmp_path / "out", "--boxes", str(given)) == 2
    error = capsys.readouterr().err
    assert line in error and "Traceback" not in error


def test_boxes_are_never_replaced_by_those_found(
    folder: Path, weights: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "out" / "boxes.csv"
    given.parent.mkdir()
    first.rename(given)
    before = given.read_bytes()
    named = ("--boxes", str(given), "--overwrite")
    assert follow(folder / "frames", weights, given.parent, *named) == 2
    assert "is the input itself" in capsys.readouterr().err and given.read_bytes() == before


def test_options_that_make_no_sense_are_one_line(
    folder: Path, weights: Path, first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(folder / "frames", weights, tmp_path / "a") == 2
    assert follow(Path("synthetic"), weights, tmp_path / "b", "--boxes", str(first)) == 2
    assert follow(folder / "frames", tmp_path / "no", tmp_path / "c", "--boxes", str(first)) == 2
    assert main(["permanence", "evaluate", "la-cater", "--weights", str(weights)]) == 2
    assert main(["permanence", "evaluate", "synthetic", "--num", "0"]) == 2
    large = ("--boxes", str(first), "--size", "4000000")
    assert follow(folder / "frames", weights, tmp_path / "d", *large) == 2
    assert capsys.readouterr().err.count("\n") >= 6

"""What ``sbind crw`` cannot use ends in one line and exit code 2, and costs the user nothing."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cli.clip import COUNT, scene, tokens
from scalable_binding.cli import main
from scalable_binding.crw import model
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.engine.checkpoint import WEIGHTS


class _Bomb:
    """Unpickled without care, it writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


@pytest.fixture(scope="module")
def bad(folder: Path) -> Path:
    """The folder of the clip, with labels and weights that are wrong."""
    _, ids = scene()
    masks.write(folder / "no-object.png", torch.zeros_like(ids[0]))
    masks.write(folder / "small.png", ids[0, ::2, ::2])
    keypoints.write(folder / "outside.csv", [Keypoint(0, 1, 2.0, 7.0), Keypoint(0, 2, 140.0, 3.0)])
    (folder / "header.csv").write_text("frame,id,x,y,confidence\n")
    (folder / "words.csv").write_text("frame,id,x,y\n0,1,here,there\n")
    for name in ("nothing.csv", "nothing.json", "nothing.png", "nothing.mp4", "nothing.pt"):
        (folder / name).touch()
    shutil.copy(folder / "first.png", folder / "first.jpg")
    (folder / "empty").mkdir()
    weights = model.draw(0, widths=(8, 8, 8), width=8).state_dict()
    save_file(weights, folder / "whole.safetensors")
    content = (folder / "whole.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(content[: len(content) // 2])
    save_file({"fc.weight": torch.zeros(2, 2)}, folder / "other.safetensors")
    torch.save({"model": _Bomb(folder / "exploded")}, folder / "bomb.pt")
    (folder / "bomb.pth").write_bytes(pickle.dumps(_Bomb(folder / "exploded")))
    return folder


def refusal(given: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """The one line with which the program refuses a command."""
    capfd.readouterr()
    assert main(given) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("sbind: ") and shown.err.count("\n") == 1
    return shown.err


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"video": "nowhere.mp4"}, "no such file: "),
        ({"video": "nothing.mp4"}, "nothing.mp4"),
        ({"video": "empty"}, "no frames in this folder"),
        ({"video": "points.csv"}, "points.csv"),
        ({"video": "cut-video.mp4"}, "cut-video.mp4"),
        ({"labels": "nowhere.png"}, "no such file: "),
        ({"labels": "nowhere.csv"}, "no such file: "),
        ({"labels": "nothing.png"}, "cannot be read as an image"),
        ({"labels": "no-object.png"}, "expected a mask with at least one object"),
        ({"labels": "small.png"}, "expected the frame's size, 54 x 132 pixels, got 27 x 66"),
        ({"labels": "video.mp4"}, "video.mp4"),
        ({"labels": "header.csv"}, "no key points in this file"),
        ({"labels": "nothing.csv"}, "nothing.csv"),
        ({"labels": "nothing.json"}, "nothing.json"),
        ({"labels": "words.csv"}, "words.csv, line 2"),
        ({"labels": "outside.csv"}, "point 2 in frame 0 is outside the frame"),
        ({"weights": "nowhere.pt"}, "expected a file, got nothing of that name"),
        ({"weights": "nothing.pt"}, "nothing.pt"),
        ({"weights": "cut.safetensors"}, "is corrupt"),
        ({"weights": "other.safetensors"}, "is of another architecture"),
        ({"weights": "bomb.pt"}, "bomb.pt"),
        ({"weights": "bomb.pth"}, "bomb.pth"),
    ],
)
@pytest.mark.parametrize("has_results", [False, True])
def test_what_cannot_be_used_is_one_line_and_costs_nothing(
    changed: dict[str, str],
    line: str,
    has_results: bool,
    bad: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out, more = tmp_path / "out", ()
    if has_results:
        masks.write(out / "00000.png", scene()[1][0])
        more = ("--overwrite",)
    assert line in refusal(tokens(bad, out, *more, **changed), capfd)
    kept = [path.name for path in out.iterdir()]
    assert kept == (["00000.png"] if has_results else []), "the command, mended, is not refused"
    assert not (bad / "exploded").exists()


def test_the_program_itself_ends_so(bad: Path, tmp_path: Path) -> None:
    given = tokens(bad, tmp_path / "out", weights="bomb.pth")
    command = [sys.executable, "-m", "scalable_binding", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sbind: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--size", "4"], "size: expected at least 16 pixels, got 4"),
        (["--adapt"], "expected a model with weights to adapt"),
        (
            ["--correct", "3={bad}/small.png"],
            "labels of frame 3: expected the frame's size, 54 x 132 pixels, got 27 x 66",
        ),
        (["--correct", "3={bad}/no-object.png"], "expected a mask with at least one object"),
        (["--correct", "3={bad}/points.csv"], "expected masks for all labeled frames"),
        (["--correct", "3={bad}/nowhere.png"], "no such file: "),
        (["--correct", "10={bad}/first.png"], "labels of frame 10: expected a frame from 0 to 9"),
        (["--context", "0"], "context: expected a whole number of at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_met_are_refused_before_the_first_frame(
    more: list[str], line: str, bad: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tokens(bad, tmp_path / "out", *(text.format(bad=bad) for text in more))
    assert line in refusal(given, capfd)
    assert not list(tmp_path.glob("out/*"))


def test_results_are_kept_unless_told_otherwise(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tokens(folder, tmp_path / "out", video="frames")
    assert main(given) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert "is not empty; choose another, or give --overwrite" in refusal(given, capfd)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert main([*given, "--overwrite"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} != before


def test_the_video_is_never_replaced_by_its_results(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "video.mp4", tmp_path)
    shutil.copytree(folder / "frames", tmp_path / "frames")
    shutil.copy(folder / "first.png", tmp_path)
    given = tokens(tmp_path, tmp_path / "out", "--overwrite")
    line = refusal([*given, "--overlay", str(tmp_path / "out" / ".." / "video.mp4")], capfd)
    assert "is the input itself; choose another name for the output" in line
    line = refusal(tokens(tmp_path, tmp_path / "frames", "--overwrite", video="frames"), capfd)
    assert "is the input itself" in line
    assert (tmp_path / "video.mp4").read_bytes() == (folder / "video.mp4").read_bytes()
    assert len(list((tmp_path / "frames").iterdir())) == COUNT


def test_labels_may_lie_among_older_results(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(tokens(folder, out)) == 0
    better = scene()[1][6]
    masks.write(out / "00006.png", better)
    given = tokens(folder, out, "--correct", f"6={out / '00006.png'}", "--overwrite")
    assert main(given) == 0
    assert torch.equal(masks.read(out / "00006.png"), better)


@pytest.mark.parametrize("out", ["first.png", "first.png/out", "/proc/out"])
def test_an_output_that_cannot_be_written_is_one_line(
    out: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refusal(tokens(folder, folder / out), capfd)
    assert f"sbind: cannot write to {folder / out}: " in line


@pytest.mark.parametrize("overlay", ["first.png", "first.png/o.mp4", "/proc/o.mp4", "frames"])
def test_an_overlay_that_cannot_be_written_is_refused_before_the_work(
    overlay: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tokens(folder, tmp_path / "out", "--overlay", str(folder / overlay))
    assert str(folder / overlay) in refusal(given, capfd)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("overlay", "line"),
    [("o.webm", "expected .mp4 or .mov or .mkv, got .webm"), ("out", "is where other results go")],
)
def test_an_overlay_of_no_use_is_refused_before_the_work(
    overlay: str, line: str, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = tokens(folder, tmp_path / "out", "--overlay", str(tmp_path / overlay))
    assert line in refusal(given, capfd)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["--preset", "smal"], "did you mean 'small'?"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--fit.stepss", "3"], "unknown setting 'fit.stepss'; did you mean 'fit.steps'?"),
        (["--fit.steps", "many"], "setting 'fit.steps': expected a whole number, got 'many'"),
        (["--walk.nodes", "pixels"], "setting 'walk.nodes': expected one of patches, cells"),
        (["--walk.temperature", "0"], "walk.temperature: expected a number above 0, got 0.0"),
        (["--clips.fps", "0"], "clips.fps: expected rates above 0, or none, got 0.0"),
        (["--fit.schedule", "3"], "setting 'fit.schedule': expected a group of settings"),
    ],
)
def test_settings_of_training_that_are_wrong_are_one_line(
    settings: list[str], line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    given = ["crw", "train", str(tmp_path), "--run", str(run), *settings]
    assert line in refusal(given, capfd)
    assert not run.exists()


@pytest.mark.parametrize("data", ["nowhere", "."])
def test_training_without_videos_is_one_line(
    data: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    given = ["crw", "train", str(tmp_path / "folder" / data), "--run", str(tmp_path / "run")]
    assert "folder" in refusal(given, capfd)


@pytest.mark.parametrize("run", ["/proc/run", "first.png/run"])
def test_a_run_that_cannot_be_written_is_one_line(
    run: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["crw", "train", "--run", str(folder / run), "--preset", "debug"]
    assert "cannot write" in refusal(given, capfd)


def test_a_run_of_another_architecture_stays_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ["crw", "train", "--run", str(tmp_path), "--preset", "debug"]
    tiny = ["--fit.batch_size", "1", "--set", "picture_every=0", "--encoder.widths", "8,8,8"]
    assert main([*given, *tiny, "--set", "fit.steps=1"]) == 0
    before = (tmp_path / WEIGHTS).read_bytes()
    line = refusal([*given, *tiny, "--encoder.widths", "8,8,16", "--set", "fit.steps=2"], capfd)
    assert "is of another architecture" in line
    assert (tmp_path / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["davis"], "benchmark davis: expected the folder of its data, got none"),
        (["davis", "{folder}"], "expected a folder JPEGImages in it, got none"),
        (["jhmdb", "{folder}/nowhere"], "expected a folder joint_positions in it"),
        (["synthetic", "--sequences", "scene-x"], "there is no sequence 'scene-x'; did you mean"),
        (["synthetic", "--weights", "{folder}/nowhere.pt"], "expected a file"),
        (["synthetic", "--out", "/proc/out", "--sequences", "scene-0"], "/proc/out"),
        (["synthetic", "--out", "{folder}"], "holds something else than an evaluation"),
    ],
)
def test_what_cannot_be_scored_is_one_line(
    given: list[str], line: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    weights = [] if "--weights" in given else ["--weights", "raw"]
    filled = [text.format(folder=folder) for text in given]
    assert line in refusal(["crw", "evaluate", *filled, *weights], capfd)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["--video", "{folder}/video.mp4"], "--video: expected --labels beside it"),
        (["--weights", "{folder}/nowhere.pt"], "expected a file"),
        (["--out", "/proc/demo"], "cannot write to /proc/demo"),
    ],
)
def test_what_the_demo_cannot_use_is_one_line(
    given: list[str],
    line: str,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    out = [] if "--out" in given else ["--out", str(tmp_path)]
    assert main(["demo", *(text.format(folder=folder) for text in given), *out]) == 2
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("sbind: ") and line in last

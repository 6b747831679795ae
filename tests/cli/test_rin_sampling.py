"""``sbind rin`` sample, predict and attend: what is written, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rin import untrained
from scalable_binding.cli import main
from scalable_binding.cli.rin.options import parse_classes
from scalable_binding.data.frames import images, videos
from scalable_binding.errors import UserError
from scalable_binding.rin.config import DiffusionConfig


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of runs: of images, of videos with and without context, and of a signal."""
    folder = tmp_path_factory.mktemp("runs")
    untrained.save(untrained.images(), folder / "images")
    untrained.save(untrained.images(DiffusionConfig()), folder / "no-dropout")
    untrained.save(untrained.images(num_classes=2), folder / "named", classes=["ant", "bee"])
    untrained.save(untrained.videos(), folder / "predictor")
    untrained.save(untrained.videos(), folder / "slow", data={"kind": "videos", "fps": 4})
    untrained.save(untrained.videos(context=0, channels=3), folder / "videos")
    untrained.save(untrained.images(size=(8,), patch=(2,)), folder / "signals")
    return folder


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine frames of 8 x 8 pixels in which a square moves."""
    frames = torch.zeros(9, 3, 8, 8, dtype=torch.uint8)
    for t in range(9):
        frames[t, :, 2:5, t % 5 : t % 5 + 3] = 200
    path = tmp_path_factory.mktemp("video") / "frames"
    videos.write(path, frames, fps=8)
    return path


def run(*tokens: object) -> int:
    return main([str(token) for token in ("rin", *tokens)])


def refused(capsys: pytest.CaptureFixture[str], *tokens: object) -> str:
    assert run(*tokens) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_samples_are_written_one_by_one_and_together(runs: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    given = ("--num", 7, "--classes", "3,5..6", "--steps", 4, "--batch-size", 3, "--json", report)
    assert run("sample", runs / "images", "--out", out, *given) == 0
    names = [f"{number:05}.png" for number in range(7)]
    assert sorted(path.name for path in (out / "images").iterdir()) == names
    with np.load(out / "samples.npz") as together:
        assert together["arr_0"].shape == (7, 8, 8, 1) and together["arr_0"].dtype == np.uint8
        assert together["arr_1"].tolist() == [3, 5, 6, 3, 5, 6, 3]
        for number, sample in enumerate(together["arr_0"]):
            single = images.read(out / "images" / f"{number:05}.png")
            assert np.array_equal(single[0].numpy(), sample[..., 0])
    grid = images.read(out / "grid.png")
    assert grid.shape == (3, 2 + 3 * 50, 2 + 3 * 50)
    process = videos.read(out / "reverse.mp4")
    assert len(process) == 4 + 12 and process.shape[3] > process.shape[2]
    assert json.loads(report.read_text())["samples"] == 7


def test_samples_are_those_of_the_seed(runs: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        given = ("--num", 2, "--steps", 3, "--seed", seed, "--sampler", "dpmpp_2m")
        assert run("sample", runs / "images", "--out", tmp_path / name, *given) == 0
    first, again, other = (
        np.load(tmp_path / name / "samples.npz")["arr_0"] for name in ("a", "b", "c")
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_videos_are_sampled_as_gifs(runs: Path, tmp_path: Path) -> None:
    given = ("--num", 2, "--steps", 2, "--format", "gif")
    assert run("sample", runs / "videos", "--out", tmp_path / "out", *given) == 0
    with Image.open(tmp_path / "out" / "videos" / "00001.gif") as single:
        assert single.n_frames == 6 and single.size == (8, 8)
    assert (tmp_path / "out" / "grid.gif").is_file()
    assert np.load(tmp_path / "out" / "samples.npz")["arr_0"].shape == (2, 6, 8, 8, 3)


def test_results_are_not_overwritten_unasked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ("sample", runs / "images", "--out", tmp_path / "out", "--steps", 1)
    assert run(*tokens, "--num", 3) == 0
    assert "is not empty" in refused(capsys, *tokens, "--num", 2)
    assert run(*tokens, "--num", 2, "--overwrite") == 0
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


def test_futures_stand_side_by_side(runs: Path, video: Path, tmp_path: Path) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    given = ("--context", 3, "--samples", 2, "--frames", 5, "--steps", 2, "--json", report)
    assert run("predict", runs / "predictor", video, "--out", out, *given) == 0
    beside = videos.read(out / "futures.mp4")
    assert len(beside) == 3 + 5
    single = videos.read(out / "future-1.mp4")
    assert single.shape == (8, 3, 8, 8) and not (out / "future-3.mp4").exists()
    assert np.load(out / "futures.npz")["arr_0"].shape == (2, 5, 8, 8, 1)
    results = json.loads(report.read_text())
    assert len(results["squared error"]) == 2
    assert results["squared error of copying the last frame"] > 0


def test_a_video_of_another_size_is_resized_when_asked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos.write(tmp_path / "wide", torch.zeros(4, 3, 16, 24, dtype=torch.uint8), fps=8)
    tokens = ("predict", runs / "predictor", tmp_path / "wide", "--steps", 1)
    words = refused(capsys, *tokens, "--out", tmp_path / "one")
    assert "expected 8 x 8 pixels" in words and "--resize" in words
    assert run(*tokens, "--out", tmp_path / "two", "--resize") == 0
    # Two frames are given; of the four that are predicted only two can be compared.
    assert len(videos.read(tmp_path / "two" / "futures.mp4")) == 6


def test_reading_of_images_is_drawn_and_counted(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.json"
    given = ("--num", 2, "--classes", 4, "--steps", 5, "--json", report)
    assert run("attend", runs / "images", "--out", out, *given) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "curves.png",
        "sample-000.png",
        "sample-001.png",
    ]
    results = json.loads(report.read_text())
    assert len(results["times"]) == len(results["entropy"]["block 2"]) == 5
    assert results["last step"]["entropy"] == results["entropy"]["block 2"][-1]
    assert results["last step"]["concentration"] == results["concentration"]["block 2"][-1]
    assert 0 < results["share of tokens"] < 1
    assert "tokens with detail get" in capsys.readouterr().out


def test_reading_does_not_depend_on_batches(runs: Path, tmp_path: Path) -> None:
    found = []
    for size in (3, 2):
        given = ("--num", 3, "--classes", "4,5", "--steps", 2, "--batch-size", size)
        report, out = tmp_path / f"{size}.json", tmp_path / str(size)
        assert run("attend", runs / "images", "--out", out, *given, "--json", report) == 0
        found.append(json.loads(report.read_text())["entropy"]["block 2"])
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_video_is_taken_at_the_rate_of_the_network(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Frames of a folder count as 24 a second; at the network's 4 nine of them are two."""
    line = refused(capsys, "predict", runs / "slow", video, "--context", 3, "--out", tmp_path / "a")
    assert "expected at least 3 frames at 4 a second, got 2" in line
    given = ("--context", 3, "--fps", 24, "--steps", 1)
    assert run("predict", runs / "slow", video, *given, "--out", tmp_path / "b") == 0


def test_what_an_earlier_call_left_is_removed(runs: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("--steps", 1, "--out", out, "--overwrite")
    assert run("predict", runs / "predictor", video, "--samples", 2, *given) == 0
    (out / "notes.txt").write_text("mine")
    gif = ("--samples", 1, "--format", "gif")
    assert run("predict", runs / "predictor", video, *gif, *given) == 0
    names = ["future-1.gif", "futures.gif", "futures.npz", "notes.txt"]
    assert sorted(path.name for path in out.iterdir()) == names


def test_a_future_may_not_take_the_place_of_the_video(
    runs: Path, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "out" / "future-7.mp4"
    videos.write(given, videos.read(video), fps=8)
    line = refused(
        capsys, "predict", runs / "predictor", given, "--out", given.parent, "--overwrite"
    )
    assert line.endswith("future-7.mp4 is the input itself; choose another name for the output")
    assert given.is_file()


def test_classes_may_be_named(runs: Path, tmp_path: Path) -> None:
    given = ("--num", 3, "--steps", 1, "--classes", "bee,0", "--out", tmp_path / "out")
    assert run("sample", runs / "named", *given) == 0
    with np.load(tmp_path / "out" / "samples.npz") as together:
        assert together["arr_1"].tolist() == [1, 0, 1]


def test_reading_of_videos_is_drawn_too(runs: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ("--num", 1, "--steps", 2)
    assert run("attend", runs / "predictor", video, "--out", out, *given) == 0
    assert len(videos.read(out / "sample-000.mp4")) == 6
    assert (out / "sample-000.png").is_file()


@pytest.mark.parametrize(
    ("command", "name", "tokens", "words"),
    [
        ("sample", "images", ("--classes", "0..10"), "class of a sample: expected 0 to 9, got 10"),
        ("sample", "images", ("--classes", "one"), "expected 0 to 9, got one"),
        ("sample", "named", ("--classes", "cow"), "expected 0 to 1, or a name: ant, bee, got cow"),
        ("sample", "images", ("--classes", "0..99999999999"), "--classes: expected numbers"),
        ("sample", "images", ("--steps", 0), "steps: expected a whole number of at least 1, got 0"),
        ("sample", "images", ("--num", 0), "--num: expected at least 1, got 0"),
        ("sample", "images", ("--guidance", 2), "guidance: expected classes to lead to"),
        ("sample", "no-dropout", ("--guidance", 2, "--classes", 1), "label_dropout above 0"),
        ("sample", "images", ("--sampler", "euler"), "euler"),
        ("sample", "images", ("--device", "tpu"), "device 'tpu' cannot be used"),
        ("sample", "predictor", (), "use 'sbind rin predict'"),
        ("sample", "signals", (), "a network of images or videos"),
        ("sample", "nowhere", (), "no such run"),
        ("attend", "predictor", (), "give a VIDEO"),
        ("attend", "images", ("--num", 0), "--num"),
        ("attend", "images", ("--fps", 3), "--resize and --fps are of a VIDEO"),
    ],
)
def test_what_cannot_be_sampled_is_refused(
    runs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
    tokens: tuple[object, ...],
    words: str,
) -> None:
    line = refused(capsys, command, runs / name, "--out", tmp_path / "out", *tokens)
    assert words in line and line.startswith("sbind: ")
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("name", "tokens", "words"),
    [
        ("predictor", ("--context", 1), "--context: expected at least 2"),
        ("predictor", ("--context", 10), "expected at least 10 frames, got 9"),
        ("predictor", ("--samples", 0), "--samples: expected at least 1"),
        ("predictor", ("--frames", 0), "--frames: expected at least 1"),
        ("images", (), "this network is given no frames"),
    ],
)
def test_what_cannot_be_predicted_is_refused(
    runs: Path,
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    tokens: tuple[object, ...],
    words: str,
) -> None:
    line = refused(capsys, "predict", runs / name, video, "--out", tmp_path / "out", *tokens)
    assert words in line


def test_a_run_without_weights_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = untrained.save(untrained.images(), tmp_path / "run")
    (run_folder / "model.safetensors").unlink()
    assert "has no weights" in refused(capsys, "sample", run_folder, "--out", tmp_path / "out")


def test_classes_are_spelled_as_numbers_ranges_and_names() -> None:
    assert parse_classes("3") == [3]
    assert parse_classes("0..2, 7,5..5") == [0, 1, 2, 7, 5]
    assert parse_classes("cat, 1,sea lion") == ["cat", 1, "sea lion"]
    for text in ("", "1,,2", "1..", "..3", "a..b", "5..3", "5..3,1", "0..99999999999"):
        with pytest.raises(UserError, match="--classes"):
            parse_classes(text)

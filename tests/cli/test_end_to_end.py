"""``sbind crw`` with nothing replaced: real videos in, files and one-line errors out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scalable_binding.cli import main
from scalable_binding.data import keypoints, masks, videos
from scalable_binding.data.keypoints import Keypoint

HEIGHT, WIDTH, COUNT = 54, 132, 10
SQUARE = 24
CUT = 20


def scene(count: int = COUNT) -> tuple[Tensor, Tensor]:
    """A textured square (id 200) that goes a cell a frame over coarse noise, and its mask."""
    generator = torch.Generator().manual_seed(0)

    def noise(*size: int) -> Tensor:
        coarse = torch.rand(1, 3, *(side // 4 + 1 for side in size), generator=generator)
        fine = torch.nn.functional.interpolate(coarse, scale_factor=4.0)[0]
        return (fine[:, : size[0], : size[1]] * 255).byte()

    frames = noise(HEIGHT, WIDTH).repeat(count, 1, 1, 1)
    ids = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    square = noise(SQUARE, SQUARE)
    for t in range(count):
        left = 16 + 8 * min(t, COUNT - 1)
        place = (slice(16, 16 + SQUARE), slice(left, left + SQUARE))
        frames[t][:, *place], ids[t][place] = square, 200
    return frames, ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video in several guises, and its labels, right and wrong."""
    made = tmp_path_factory.mktemp("video")
    frames, ids = scene()
    videos.write(made / "video.mp4", frames, fps=8)
    videos.write(made / "video.mkv", scene(CUT)[0], fps=8)
    videos.write(made / "frames", frames, fps=8)
    videos.write(made / "one", frames[:1, :, 1:, 1:], fps=8)
    for name, share in (("video.mp4", 0.5), ("video.mkv", 0.8)):
        content = (made / name).read_bytes()
        (made / f"cut-{name}").write_bytes(content[: int(len(content) * share)])
    masks.write(made / "odd.png", ids[0, 1:, 1:])
    masks.write(made / "first.png", ids[0])
    masks.write(made / "last.png", ids[-1])
    masks.write(made / "empty.png", torch.zeros_like(ids[0]))
    masks.write(made / "small.png", ids[0, ::2, ::2])
    keypoints.write(made / "points.csv", [Keypoint(0, 1000, 27.0, 27.0)])
    keypoints.write(made / "outside.csv", [Keypoint(0, 1, 27.0, 27.0), Keypoint(0, 2, 140.0, 3.0)])
    (made / "nothing.csv").write_text("frame,id,x,y,confidence\n")
    (made / "broken.safetensors").write_bytes(b"\x10")
    save_file({"fc.weight": torch.zeros(2, 2)}, made / "other.safetensors")
    return made


def tokens(folder: Path, out: Path, *more: str, **changed: str) -> list[str]:
    named = {"video": "video.mp4", "labels": "first.png", "weights": "raw"} | changed
    weights = named["weights"]
    weights = str(folder / weights) if "." in weights else weights
    files = [str(folder / named["video"]), "--labels", str(folder / named["labels"])]
    return ["crw", "propagate", *files, "--out", str(out), "--weights", weights, *more]


def program(*given: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scalable_binding", *given]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def overlap(found: Tensor, true: Tensor) -> float:
    return float(((found == 200) & (true == 200)).sum() / ((found == 200) | (true == 200)).sum())


def test_masks_follow_the_object_and_are_drawn(folder: Path, tmp_path: Path) -> None:
    out, overlay = tmp_path / "out", tmp_path / "overlay.mp4"
    done = program(*tokens(folder, out, "--overlay", str(overlay)))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [f"{n:05}.png" for n in range(COUNT)]
    _, ids = scene()
    for number in range(COUNT):
        found = masks.read(out / f"{number:05}.png")
        assert found.shape == (HEIGHT, WIDTH)
        assert overlap(found, ids[number]) > 0.5
    assert videos.read(overlay).shape == (COUNT, 3, HEIGHT, WIDTH)


def test_labels_carried_at_a_smaller_size_come_back_at_the_videos(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    frames, ids = (kind.repeat_interleave(2, -2).repeat_interleave(2, -1) for kind in scene())
    videos.write(folder / "large", frames, fps=8)
    masks.write(folder / "large.png", ids[0])
    keypoints.write(folder / "large.csv", [Keypoint(0, 1000, 54.5, 54.5)])
    size = ("--size", str(HEIGHT))
    assert main(tokens(folder, out, *size, video="large", labels="large.png")) == 0
    assert capsys.readouterr().out == f"{COUNT} masks: {out}\n"
    for number in range(COUNT):
        assert overlap(masks.read(out / f"{number:05}.png"), ids[number]) > 0.5
    given = tokens(folder, out, *size, "--overwrite", video="large", labels="large.csv")
    assert main(given) == 0
    assert capsys.readouterr().out == f"key points of {COUNT} frames: {out / 'keypoints.csv'}\n"
    for point in keypoints.read(out / "keypoints.csv"):
        assert abs(point.x - (54.5 + 16 * point.frame)) < 18 and abs(point.y - 54.5) < 18


def test_backward_from_the_last_frame_with_a_correction(folder: Path, tmp_path: Path) -> None:
    out, correction = tmp_path / "out", f"4={folder / 'corrected.png'}"
    _, ids = scene()
    corrected = ids[4].clone()
    corrected[:12, :16] = 7
    masks.write(folder / "corrected.png", corrected)
    given = tokens(folder, out, "--backward", "--correct", correction, labels="last.png")
    assert main(given) == 0
    assert overlap(masks.read(out / "00000.png"), ids[0]) > 0.5
    assert torch.equal(masks.read(out / "00004.png"), corrected), "as it was given"
    assert torch.equal(masks.read(out / "00009.png"), ids[9])
    with_the_new_one = [7 in masks.read(out / f"{n:05}.png") for n in range(COUNT)]
    assert with_the_new_one == [True] * 5 + [False] * 5


def test_points_come_back_as_a_table(folder: Path, tmp_path: Path) -> None:
    assert main(tokens(folder, tmp_path / "out", labels="points.csv")) == 0
    found = keypoints.read(tmp_path / "out" / "keypoints.csv")
    assert [(point.frame, point.id) for point in found] == [(n, 1000) for n in range(COUNT)]
    assert found[0] == Keypoint(0, 1000, 27.0, 27.0), "as it was given"
    for point in found:
        assert abs(point.x - (27 + 8 * point.frame)) < 9 and abs(point.y - 27) < 9


@pytest.mark.parametrize("weights", ["random", "raw"])
def test_a_video_of_one_frame_of_odd_size(folder: Path, tmp_path: Path, weights: str) -> None:
    given = tokens(folder, tmp_path / "out", video="one", labels="odd.png", weights=weights)
    assert main(given) == 0
    found = masks.read(tmp_path / "out" / "00000.png")
    assert found.shape == (HEIGHT - 1, WIDTH - 1)
    assert torch.equal(found, masks.read(folder / "odd.png"))


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"video": "nowhere.mp4"}, "nowhere.mp4"),
        ({"video": "first.csv"}, "first.csv"),
        ({"video": "points.csv"}, "points.csv"),
        ({"video": "cut-video.mp4"}, "cut-video.mp4"),
        ({"labels": "nowhere.png"}, "nowhere.png"),
        ({"labels": "empty.png"}, "expected a mask with at least one object"),
        ({"labels": "small.png"}, "expected the frame's size, 54 x 132 pixels, got 27 x 66"),
        ({"labels": "video.mp4"}, "video.mp4"),
        ({"labels": "nothing.csv"}, "no key points in this file"),
        ({"labels": "outside.csv"}, "point 2 in frame 0 is outside the frame"),
        ({"weights": "nowhere.pt"}, "expected a file, got nothing of that name"),
        ({"weights": "broken.safetensors"}, "is corrupt"),
        ({"weights": "other.safetensors"}, "is of another architecture"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(
    changed: dict[str, str],
    line: str,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(tokens(folder, tmp_path / "out", **changed)) == 2
    errors = [shown for shown in capfd.readouterr().err.splitlines() if "sbind:" in shown]
    assert len(errors) == 1 and line in errors[0]
    assert list((tmp_path / "out").iterdir()) == [], "the same command, mended, is not refused"


def test_adaptation_needs_weights(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens(folder, tmp_path / "out", "--adapt")) == 2
    assert "expected a model with weights to adapt" in capsys.readouterr().err


def test_a_cut_video_is_labelled_as_far_as_it_goes(folder: Path, tmp_path: Path) -> None:
    done = program(*tokens(folder, tmp_path / "out", video="cut-video.mkv"))
    assert done.returncode == 0, done.stderr
    kept = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert 0 < len(kept) < CUT
    assert kept == [f"{n:05}.png" for n in range(len(kept))]
    assert "sbind: warning: " in done.stderr and "cut-video.mkv" in done.stderr


def test_results_are_kept_unless_told_otherwise(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tokens(folder, tmp_path / "out", video="frames")
    assert main(given) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert main(given) == 2
    assert "is not empty; choose another, or give --overwrite" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert main([*given, "--overwrite"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} != before


@pytest.mark.parametrize("out", ["first.png", "first.png/out", "/proc/out"])
def test_an_output_that_cannot_be_written_is_one_line(
    out: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tokens(folder, folder / out)) == 2
    shown = capsys.readouterr().err
    assert f"sbind: cannot write to {folder / out}: " in shown and shown.count("\n") == 1


def test_ctrl_c_keeps_the_frames_that_are_done(folder: Path, tmp_path: Path) -> None:
    out, long = tmp_path / "out", tmp_path / "long"
    videos.write(long, scene(1)[0].expand(400, -1, -1, -1), fps=8)
    given = tokens(folder, out)
    given[2] = str(long)
    command = [sys.executable, "-m", "scalable_binding", *given]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 200
    while len(list(out.glob("0*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, shown = running.communicate(timeout=60)
    assert running.returncode == 130
    assert shown.splitlines()[-1] == f"sbind: interrupted; the frames done so far are in {out}"
    kept = sorted(path.name for path in out.iterdir())
    assert 3 <= len(kept) < 400
    assert kept == [f"{n:05}.png" for n in range(len(kept))]
    assert all(200 in masks.read(out / name) for name in kept)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (["--preset", "smal"], "did you mean 'small'?"),
        (["--fit.stepss", "3"], "unknown setting 'fit.stepss'; did you mean 'fit.steps'?"),
        (["--fit.steps", "many"], "setting 'fit.steps': expected a whole number, got 'many'"),
        (["--walk.nodes", "pixels"], "setting 'walk.nodes': expected one of patches, cells"),
        (["--walk.temperature", "0"], "walk.temperature: expected a number above 0, got 0.0"),
        (["--fit.schedule", "3"], "setting 'fit.schedule': expected a group of settings"),
    ],
)
def test_settings_of_training_that_are_wrong_are_one_line(
    settings: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert main(["crw", "train", str(tmp_path), "--run", str(run), *settings]) == 2
    shown = capsys.readouterr().err
    assert line in shown and shown.count("\n") == 1
    assert not run.exists()


@pytest.mark.parametrize("data", ["nowhere", "."])
def test_training_without_videos_is_one_line(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    given = ["crw", "train", str(tmp_path / "folder" / data), "--run", str(tmp_path / "run")]
    assert main(given) == 2
    shown = capsys.readouterr().err
    assert "folder" in shown and shown.count("\n") == 1

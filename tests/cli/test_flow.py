"""``sbind flow``: what it writes, and that what it cannot use ends in one line and exit code 2."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cli.clip import COUNT, HEIGHT, WIDTH
from flow.small import network
from scalable_binding.cli import main
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import flow_files, masks
from scalable_binding.flow import model

PAIRS = COUNT - 1


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network without training, as a run leaves it."""
    run = tmp_path_factory.mktemp("run")
    small = network()
    save_file(small.state_dict(), run / "model.safetensors")
    (run / "config.json").write_text(json.dumps(model.arguments(small)))
    return run


def estimate(folder: Path, weights: Path, out: Path, *more: str, video: str = "frames") -> int:
    given = [str(folder / video), "--out", str(out), "--weights", str(weights)]
    return main(["flow", "estimate", *given, *more])


def test_flow_of_a_video_in_every_kind(folder: Path, weights: Path, tmp_path: Path) -> None:
    kinds = ["flo", "kitti", "npz", "pictures", "hidden"]
    overlay = tmp_path / "flow.mp4"
    out = tmp_path / "out"
    assert estimate(folder, weights, out, "--write", *kinds, "--overlay", str(overlay)) == 0
    for kind in kinds:
        assert len(list((out / kind).iterdir())) == PAIRS
    flo = flow_files.read(out / "flo" / "00003.flo")
    png = flow_files.read(out / "kitti" / "00003.png")
    npz = flow_files.read(out / "npz" / "00003.npz")
    assert flo.flow.shape == (2, HEIGHT, WIDTH) and torch.equal(flo.flow, npz.flow)
    torch.testing.assert_close(png.flow, flo.flow, atol=1 / 64, rtol=0)
    assert images.read(out / "pictures" / "00000.png").shape == (3, HEIGHT, WIDTH)
    assert set(masks.read(out / "hidden" / "00000.png").unique().tolist()) <= {0, 1}
    info = videos.probe(overlay)
    assert (info.height, info.width, info.num_frames) == (HEIGHT, 2 * WIDTH, PAIRS)


def test_flow_of_another_video_is_removed(folder: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert estimate(folder, weights, out) == 0
    (out / "flo" / "notes.txt").write_text("mine")
    assert estimate(folder, weights, out, "--overwrite", video="three") == 0
    names = ["00000.flo", "00001.flo", "notes.txt"]
    assert sorted(path.name for path in (out / "flo").iterdir()) == names
    pictures = str(out / "pictures")
    given = ["flow", "estimate", pictures, "--out", str(out), "--weights", str(weights)]
    assert main([*given, "--overwrite"]) == 2
    assert len(list((out / "pictures").iterdir())) == 2


def test_flow_of_two_images(folder: Path, weights: Path, tmp_path: Path) -> None:
    second = str(folder / "frames" / "00001.png")
    video = "frames/00000.png"
    given = [str(folder / video), second, "--out", str(tmp_path), "--weights", str(weights)]
    assert main(["flow", "estimate", *given]) == 0
    whole = tmp_path / "whole"
    assert estimate(folder, weights, whole) == 0
    pair = flow_files.read(tmp_path / "flo" / "00000.flo")
    torch.testing.assert_close(pair.flow, flow_files.read(whole / "flo" / "00000.flo").flow)


@pytest.mark.parametrize("two", [False, True])
def test_a_smaller_size_gives_flow_of_the_videos_own(
    folder: Path, weights: Path, tmp_path: Path, two: bool
) -> None:
    video = "frames/00000.png" if two else "frames"
    more = [str(folder / "frames" / "00001.png")] if two else []
    given = [str(folder / video), *more, "--out", str(tmp_path), "--weights", str(weights)]
    assert main(["flow", "estimate", *given, "--size", "32"]) == 0
    assert flow_files.read(tmp_path / "flo" / "00000.flo").flow.shape == (2, HEIGHT, WIDTH)


def test_points_are_followed(folder: Path, weights: Path, tmp_path: Path) -> None:
    out, overlay = tmp_path / "tracks.csv", tmp_path / "tracks.mp4"
    points = ["--points", str(folder / "points.csv"), "--overlay", str(overlay)]
    given = [str(folder / "video.mp4"), *points, "--out", str(out), "--weights", str(weights)]
    assert main(["flow", "track", *given]) == 0
    rows = list(csv.DictReader(out.open()))
    assert [row["frame"] for row in rows] == [str(number) for number in range(COUNT)]
    assert (rows[0]["id"], rows[0]["x"], rows[0]["visible"]) == ("1000", "27.000", "1")
    assert all(0 <= float(row["confidence"]) <= 1 for row in rows)
    assert videos.probe(overlay).num_frames == COUNT
    assert main(["flow", "track", *given]) == 2  # nothing is overwritten unasked
    assert main(["flow", "track", *given, "--overwrite", "--size", "32"]) == 0


def test_scores_are_printed_beside_those_of_no_motion(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.json"
    given = ["synthetic", "--weights", str(weights), "--limit", "1", "--json", str(scores)]
    assert main(["flow", "evaluate", *given]) == 0
    shown = capsys.readouterr().out
    found = json.loads(scores.read_text())
    assert f"{found['scores']['epe']:9.3f} {found['zero flow']['epe']:13.3f}" in shown


def test_a_run_is_trained_and_used(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    sizes = ["--network.widths", "4,8,8,8", "--network.width", "8", "--network.head", "4"]
    sizes += ["--clips.crop", "48", "--clips.size", "48", "--loss.views.size", "32"]
    fit = ["--fit.steps", "1", "--fit.batch_size", "2", "--set", "picture_every=0"]
    assert main(["flow", "train", "--preset", "debug", "--run", str(run), *sizes, *fit]) == 0
    assert estimate(folder, run, tmp_path / "out", video="three") == 0


@pytest.fixture(scope="module")
def bad(folder: Path) -> Path:
    """The folder of the clip, with files that are wrong."""
    frames = torch.zeros(2, 3, 20, 20, dtype=torch.uint8)
    images.write(folder / "uneven" / "00000.png", frames[0])
    images.write(folder / "uneven" / "00001.png", frames[1, :, 1:])
    images.write(folder / "tiny" / "00000.png", frames[0, :, :8, :8])
    images.write(folder / "tiny" / "00001.png", frames[0, :, :8, :8])
    (folder / "far.csv").write_text("frame,id,x,y\n0,1,500,3\n")
    (folder / "late.csv").write_text("frame,id,x,y\n99,1,5,3\n")
    (folder / "no.mp4").write_bytes(b"no video")
    return folder


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["estimate", "uneven"], "frame 1 differs in size"),
        (["estimate", "one"], "at least two"),
        (["estimate", "tiny"], "at least 16 pixels"),
        (["estimate", "no.mp4"], "no.mp4"),
        (["estimate", "missing"], "missing"),
        (["estimate", "frames/00000.png", "uneven/00000.png"], "differs in size"),
        (["estimate", "frames", "--size", "3"], "at least 16"),
        (["estimate", "frames", "--size", "0"], "at least 16"),
        (["estimate", "frames", "--overlay", "flow.webm"], "expected .mp4 or .mov or .mkv"),
        (["estimate", "frames", "--write", "gif"], "gif"),
        (["track", "frames", "--points", "far.csv"], "outside the frame"),
        (["track", "frames", "--points", "late.csv"], "frame from 0 to 9"),
        (["track", "frames", "--points", "missing.csv"], "no such file"),
        (["track", "one", "--points", "points.csv"], "at least two"),
        (["evaluate", "sintel"], "folder of its data"),
        (["evaluate", "tap-vid"], "the file of its data"),
        (["evaluate", "tap-vid", "none.pkl"], "no such file"),
        (["evaluate", "sintel", "frames"], "no such folder"),
        (["train", "--preset", "smal", "--run", "run"], "did you mean 'small'"),
        (["train", "--preset", "small", "--run", "run"], "folders of videos"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    bad: Path,
    weights: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    given: list[str],
    said: str,
) -> None:
    named = [str(bad / word) if (bad / word).exists() or "/" in word else word for word in given]
    if given[0] in ("estimate", "track"):
        named += ["--out", str(tmp_path / "out"), "--weights", str(weights)]
    if given[0] == "train":
        named[-1] = str(tmp_path / "run")
    capfd.readouterr()
    assert main(["flow", *named]) == 2
    shown = capfd.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("sbind: ")]
    assert len(lines) == 1 and said in lines[0] and "Traceback" not in shown.err


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom scalable_binding.cli import main\n"
        "assert main(['flow', 'estimate', '--help']) == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

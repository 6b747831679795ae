"""``sbind crw`` with nothing replaced: real videos in, labels out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cli.clip import COUNT, CUT, HEIGHT, WIDTH, scene, tokens
from scalable_binding.cli import main
from scalable_binding.data.frames import decoding, videos
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.data.labels.keypoints import Keypoint


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


def test_a_mask_of_many_shades_is_doubted(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    shades = torch.arange(HEIGHT, dtype=torch.uint8)[:, None].expand(HEIGHT, WIDTH)
    masks.write(folder / "shades.png", shades.contiguous())
    assert main(tokens(folder, tmp_path / "out", video="frames", labels="shades.png")) == 0
    said = [str(warning.message) for warning in recwarn]
    assert said == [
        "the mask of frame 0 has 53 objects; if you painted fewer, paint them without smoothing",
        "too small or thin to be carried, and lost: object 1, 2, 5, 6, 7, ...; "
        "enlarge frames: --zoom 2",
    ]


def test_void_beside_objects_is_doubted(
    folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    mask = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    mask[:20, :20] = 255
    masks.write(folder / "void.png", mask)
    assert main(tokens(folder, tmp_path / "binary", video="frames", labels="void.png")) == 0
    assert not recwarn.list
    mask[30:, 30:] = 2
    masks.write(folder / "void.png", mask)
    assert main(tokens(folder, tmp_path / "out", video="frames", labels="void.png")) == 0
    assert [str(warning.message) for warning in recwarn] == [
        "the mask of frame 0 has an object 255 beside small numbers; if that means void, make it 0"
    ]


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


@pytest.mark.parametrize(("weights", "least"), [("random", 0.15), ("raw", 0.4)])
@pytest.mark.parametrize(("video", "count"), [("one", 1), ("three", 3)])
def test_videos_of_odd_size_and_of_one_frame(
    folder: Path, tmp_path: Path, weights: str, least: float, video: str, count: int
) -> None:
    out, overlay = tmp_path / "out", tmp_path / "overlay.mp4"
    more = ("--overlay", str(overlay))
    assert main(tokens(folder, out, *more, video=video, labels="odd.png", weights=weights)) == 0
    assert torch.equal(masks.read(out / "00000.png"), masks.read(folder / "odd.png"))
    last = masks.read(out / f"{count - 1:05}.png")
    assert last.shape == (HEIGHT - 1, WIDTH - 1)
    assert overlap(last, scene()[1][count - 1, 1:, 1:]) > least
    assert videos.read(overlay).shape == (count, 3, HEIGHT, WIDTH), "H.264 wants even sides"


def test_a_cut_video_is_labeled_as_far_as_it_goes(folder: Path, tmp_path: Path) -> None:
    done = program(*tokens(folder, tmp_path / "out", video="cut-video.mkv"))
    assert done.returncode == 0, done.stderr
    kept = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert 0 < len(kept) < CUT
    assert kept == [f"{n:05}.png" for n in range(len(kept))]
    assert "sbind: warning: " in done.stderr and "cut-video.mkv" in done.stderr


def test_ctrl_c_keeps_the_frames_that_are_done(folder: Path, tmp_path: Path) -> None:
    out, long = tmp_path / "out", tmp_path / "long"
    videos.write(long, scene(1)[0].expand(400, -1, -1, -1), fps=8)
    given = tokens(folder, out)
    given[2] = str(long)
    command = [sys.executable, "-m", "scalable_binding", *given]
    running = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # Programs that a shell runs in the background are started with Ctrl-C ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
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


@pytest.mark.parametrize("overlay", [False, True])
def test_the_video_is_decoded_once(
    overlay: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    decode = decoding.decode

    def count(*arguments: Any, **options: Any) -> Iterator[Any]:
        for frame in decode(*arguments, **options):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(decoding, "decode", count)
    drawn = ["--overlay", str(tmp_path / "overlay.mp4")] if overlay else []
    assert main(tokens(folder, tmp_path / "out", *drawn)) == 0
    times = sorted(set(decoded))
    assert len(times) == COUNT
    assert all(decoded.count(time) == 1 for time in times[1:]), "the first tells the size, too"
    assert len(list((tmp_path / "out").glob("*.png"))) == COUNT

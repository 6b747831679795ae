"""JHMDB, VIP and the synthetic world, each in its official layout and made on the fly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from scalable_binding.crw import benchmarks
from scalable_binding.crw.evaluate import evaluate
from scalable_binding.data import synthetic
from scalable_binding.data.labels import keypoints, masks
from scalable_binding.errors import UserError
from scalable_binding.metrics.parts import MeanIoU

JOINTS = np.stack([np.tile([40.0, 120.0, 200.0], 5), np.repeat([20.0, 60, 100, 140, 180], 3)])


def noise(height: int, width: int) -> Image.Image:
    """A picture in which every 8 x 8 block is different."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3)).astype(np.uint8))


def make_jhmdb(root: Path, name: str, *, shift: float = 0.0, num_frames: int = 4) -> None:
    """The same picture over and over, whose true joints move to the right."""
    frames = root / "Rename_Images" / name
    frames.mkdir(parents=True)
    for number in range(1, num_frames + 1):
        noise(240, 320).save(frames / f"{number:05}.png")
    joints = (
        np.stack([JOINTS + np.array([[shift * t], [0]]) for t in range(num_frames)], axis=-1) + 1
    )
    folder = root / "joint_positions" / name
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "joint_positions.mat", {"pos_img": joints, "viewpoint": "front"})


@pytest.fixture
def jhmdb(tmp_path: Path) -> Path:
    root = tmp_path / "JHMDB"
    make_jhmdb(root, "golf/still")
    make_jhmdb(root, "golf/moving", shift=12.0)
    make_jhmdb(root, "run/train", shift=50.0)
    (root / "splits").mkdir()
    (root / "splits" / "golf_test_split1.txt").write_text("still.avi 2\nmoving.avi 2\n")
    (root / "splits" / "run_test_split1.txt").write_text("train.avi 1\n")
    (root / "splits" / "run_test_split2.txt").write_text("train.avi 2\n")
    return root


def test_jhmdb_scores_joints_against_the_box(jhmdb: Path, tmp_path: Path) -> None:
    """Labels stay where they are; the box of the joints is 160 x 160, .6 of its diagonal 135.8."""
    out = tmp_path / "out"
    result = evaluate("jhmdb", jhmdb.parent, weights="raw", out=out)
    assert set(result["sequences"]) == {"golf/still", "golf/moving"}
    assert result["sequences"]["golf/still"]["PCK@0.1"] == 1
    # Errors of 12, 24 and 36 pixels, .09, .18 and .27 of it, but for what a cell rounds off.
    moving = result["sequences"]["golf/moving"]
    assert moving["PCK@0.2"] == pytest.approx(2 / 3, abs=0.05)
    assert moving["PCK@0.5"] == 1
    both = [result["sequences"][name]["PCK@0.2"] for name in result["sequences"]]
    assert result["overall"]["PCK@0.2"] == pytest.approx(sum(both) / 2)
    points = keypoints.read(out / "predictions" / "golf" / "still" / "keypoints.csv")
    assert len(points) == 4 * 15
    found = np.array([(point.x, point.y) for point in points if point.frame == 3]).T
    assert np.abs(found - JOINTS).max() < 6


def test_jhmdb_leaves_out_joints_that_start_far_outside(jhmdb: Path) -> None:
    path = jhmdb / "joint_positions" / "golf" / "still" / "joint_positions.mat"
    joints = scipy.io.loadmat(path)["pos_img"]
    joints[:, 0] = -200
    joints[:, 1] = -5
    scipy.io.savemat(path, {"pos_img": joints})
    video = benchmarks.jhmdb(jhmdb, "golf/still").open()
    assert [point.id for point in video.scores["points"].labels] == list(range(1, 15))
    assert (video.scores["points"].labels[0].x, video.scores["points"].labels[0].y) == (0, 0)


def test_jhmdb_list_in_the_authors_form(jhmdb: Path) -> None:
    listed = jhmdb / "list.txt"
    listed.write_text("/data/Rename_Images/run/train /data/joint_positions/run/train/j.mat\n")
    assert benchmarks.jhmdb_names(jhmdb, listed) == ["run/train"]


def make_vip(root: Path, name: str, *, shift: int = 0) -> None:
    """One picture over and over and two parts as bands that move to the right."""
    frames, annotations = root / "Images" / name, root / "Annotations" / "Category_ids" / name
    frames.mkdir(parents=True)
    annotations.mkdir(parents=True)
    for number in (1, 26, 51):
        noise(120, 200).save(frames / f"{number:012}.jpg", quality=95)
        ids = torch.zeros(120, 200, dtype=torch.uint8)
        left = shift * (number // 25)
        ids[:, 40 + left : 80 + left] = 3
        ids[:, 100 + left : 140 + left] = 19
        masks.write(annotations / f"{number:012}.png", ids)


@pytest.fixture
def vip(tmp_path: Path) -> Path:
    root = tmp_path / "VIP_Fine"
    make_vip(root, "videos1")
    make_vip(root, "videos2", shift=20)
    (root / "lists").mkdir()
    (root / "lists" / "val_videos.txt").write_text("videos2\nvideos1\n")
    return root


def test_vip_is_one_histogram(vip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = evaluate("vip", vip, weights="raw", out=out)
    assert list(result["sequences"]) == ["videos2", "videos1"]
    assert result["sequences"]["videos1"]["mIoU"] > 0.9
    iou = MeanIoU(20)
    for name in result["sequences"]:
        predictions = sorted((out / "predictions" / name).iterdir())
        truths = sorted((vip / "Annotations" / "Category_ids" / name).iterdir())
        for prediction, truth in list(zip(predictions, truths, strict=True))[1:]:
            iou.update(masks.read(prediction), masks.read(truth))
    assert result["overall"]["mIoU"] == pytest.approx(iou.compute())
    assert result["overall"]["mIoU"] != pytest.approx(
        sum(scores["mIoU"] for scores in result["sequences"].values()) / 2
    )


def test_synthetic_scenes_score_all_kinds_of_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = synthetic.evaluation(height=64, width=96, num_frames=4)
    monkeypatch.setattr(synthetic, "evaluation", lambda **size: small)
    out = tmp_path / "out"
    names = ["scene-0", "scene-1"]
    result = evaluate("synthetic", weights="random", sequences=names, out=out)
    assert {"J&F", "mIoU", "PCK@0.1", "PCK@0.2"} <= set(result["overall"])
    assert all(0 < result["overall"][name] <= 1 for name in ("J&F", "mIoU", "PCK@0.2"))
    scores = [result["sequences"][name]["mIoU"] for name in names]
    assert result["overall"]["mIoU"] == pytest.approx(sum(scores) / 2)
    kept = sorted(path.name for path in (out / "predictions" / "scene-0").iterdir())
    assert kept == ["masks", "parts", "points"]
    again = evaluate("synthetic", weights="random", sequences=names, out=out)
    assert again == result, "records keep what the overall scores need"


def test_synthetic_truth_starts_with_what_the_first_frame_shows() -> None:
    ids = torch.tensor([[[0, 2, 5]], [[1, 2, 0]], [[5, 5, 1]]], dtype=torch.uint8)
    followed = benchmarks._from_first(ids, 255)
    assert followed.tolist() == [[[0, 1, 2]], [[255, 1, 0]], [[2, 2, 255]]]


def break_mat(root: Path) -> None:
    path = root / "joint_positions" / "golf" / "still" / "joint_positions.mat"
    path.write_bytes(path.read_bytes()[:300])


def break_no_mat(root: Path) -> None:
    (root / "joint_positions" / "golf" / "still" / "joint_positions.mat").unlink()


def break_frames(root: Path) -> None:
    (root / "Rename_Images" / "golf" / "still" / "00002.png").unlink()


def break_splits(root: Path) -> None:
    (root / "splits" / "golf_test_split1.txt").write_text("still.avi 1\n")


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (break_mat, r"joint_positions\.mat: damaged"),
        (break_no_mat, r"no such file: .*joint_positions\.mat"),
        (break_frames, "golf/still: .*got 3 frames and joints in 4"),
        (break_splits, "expected lists of test videos"),
    ],
)
def test_incomplete_jhmdb_is_one_line(jhmdb: Path, harm: object, line: str) -> None:
    assert callable(harm)
    harm(jhmdb)
    with pytest.raises(UserError, match=line):
        evaluate("jhmdb", jhmdb, weights="raw")


def test_another_data_set_is_one_line(jhmdb: Path) -> None:
    with pytest.raises(UserError, match="expected a folder Images in it"):
        evaluate("vip", jhmdb, weights="raw")

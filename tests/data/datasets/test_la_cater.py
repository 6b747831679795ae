"""LA-CATER's layout, written down in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scalable_binding.data.datasets import la_cater
from scalable_binding.data.frames import videos
from scalable_binding.data.synthetic.hiding import CARRIED, CONTAINED, OCCLUDED, VISIBLE
from scalable_binding.errors import UserError


def write(root: Path) -> Path:
    """Six frames of one video: two visible ones, and each kind of hiding."""
    folder = root / "test_data"
    frames = torch.zeros(6, 3, 16, 24, dtype=torch.uint8)
    video = folder / "videos" / "CATER_1.mp4"
    videos.write(video, frames, fps=24)
    video.rename(video.with_suffix(".avi"))  # what a file is shows in its content
    (folder / "labels").mkdir()
    boxes = {"small_gold_spl_metal_Spl_0": [[t, 2, 4, 5] for t in range(6)], "Cone_0": []}
    (folder / "labels" / "CATER_1_bb.json").write_text(json.dumps(boxes))
    flags = folder / "containment_and_occlusions"
    flags.mkdir()
    (flags / "visibility_rate_gt_0.txt").write_text("CATER_1\t0,5\nCATER_2\t\n")
    (flags / "containment_only_static_annotations.txt").write_text("CATER_1\t2\n")
    (flags / "containment_with_move_annotations.txt").write_text("CATER_1\t3,4,99\n")
    return folder


@pytest.mark.parametrize("part", ["", "test_data"])
def test_boxes_and_states_are_read(part: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    (found,) = la_cater.read(tmp_path / part)
    assert found.name == "CATER_1" and found.video == folder / "videos" / "CATER_1.avi"
    assert found.boxes[3].tolist() == [3, 2, 7, 7]
    expected = [VISIBLE, OCCLUDED, CONTAINED, CARRIED, CARRIED, VISIBLE]
    assert found.states.tolist() == expected


def test_what_is_missing_or_damaged_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder videos"):
        la_cater.read(tmp_path)
    folder = write(tmp_path)
    label = folder / "labels" / "CATER_1_bb.json"
    for content, line in (
        ("{", "cannot read"),
        ("[]", "expected one object with 'spl' in its name, got 0 such names"),
        ('{"Spl_0": [[1, 2]]}', "expected x, y, width, height of every frame"),
    ):
        label.write_text(content)
        with pytest.raises(UserError, match=line):
            la_cater.read(tmp_path)
    flag = folder / "containment_and_occlusions" / "visibility_rate_gt_0.txt"
    flag.write_text("CATER_1\t0,x\n")
    with pytest.raises(UserError, match=r"visibility_rate_gt_0\.txt, line 1"):
        la_cater.read(tmp_path)
    flag.unlink()
    with pytest.raises(UserError, match="no such file"):
        la_cater.read(tmp_path)

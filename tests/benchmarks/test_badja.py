"""The BADJA benchmark: joints at the size of the frames, scores by the area of the animal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.crw import badja
from scalable_binding.crw.model import RawPatches
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks


@pytest.fixture
def still(tmp_path: Path) -> Path:
    """Three equal frames of a bear, an animal of 32 x 32 pixels with three joints."""
    generator = torch.Generator().manual_seed(0)
    frame = torch.randint(0, 256, (3, 54, 96), dtype=torch.uint8, generator=generator)
    area = torch.zeros(54, 96, dtype=torch.uint8)
    area[8:40, 8:40] = 1
    rows = []
    for number in range(3):
        images.write(tmp_path / f"JPEGImages/480p/bear/{number:05}.png", frame)
        masks.write(tmp_path / f"Annotations/480p/bear/{number:05}.png", area)
        joints = [[round(20 * y + 9.5), round(20 * x + 9.5)] for y, x in ((12, 12), (20, 28))]
        seen = [True, True, False]
        path = f"DAVIS/{number:05}.jpg"
        rows.append({"image_path": path, "joints": [*joints, [0, 0]], "visibility": seen})
    (tmp_path / "bear.json").write_text(json.dumps(rows))
    return tmp_path


def test_joints_are_read_at_the_size_of_the_frames(still: Path) -> None:
    found = badja.joints(still / "bear.json", 54, 96)
    assert [*found] == [0, 1, 2]
    assert [*found[0]] == [0, 1]
    assert found[0][0] == pytest.approx((12, 12), abs=0.05)
    assert found[0][1] == pytest.approx((28, 20), abs=0.05)


def test_joints_of_a_still_video_stay_where_they_are(still: Path) -> None:
    found = badja.errors(still, still / "bear.json", RawPatches(), PropagationConfig())
    assert len(found) == 4
    assert all(error < 4 and root == 32 for error, root in found)


def test_scores_count_errors_within_a_share_of_the_root_of_the_area() -> None:
    scores = badja.summarize([(0.9, 10.0), (1.5, 10.0), (2.5, 10.0), (1.9, 10.0)])
    assert scores == {
        "PCK@0.05": 0.0,
        "PCK@0.1": 0.25,
        "PCK@0.2": 0.75,
        "median error": pytest.approx(1.7),
    }

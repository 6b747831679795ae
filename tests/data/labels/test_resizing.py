"""Labels go to a smaller size and come back to the video's own, without a shift."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scalable_binding.crw.inference import Prediction
from scalable_binding.data.frames import videos
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.labels.resizing import Scale, scale_of
from scalable_binding.errors import UserError

HALF = Scale((40, 60), (20, 30))


def _prediction(scores: torch.Tensor, *points: Keypoint) -> Prediction:
    largest = scores.amax(dim=0)
    ids = scores.argmax(dim=0).byte()
    return Prediction(
        0, tuple(range(7, 6 + len(scores))), ids, scores, largest, points, scores.movedim(0, -1)
    )


def test_large_videos_shrink_and_small_ones_stay(tmp_path: Path) -> None:
    videos.write(tmp_path / "video", torch.zeros(1, 3, 40, 60, dtype=torch.uint8), fps=8)
    assert scale_of(tmp_path / "video", 20) == HALF
    assert scale_of(tmp_path / "video", 480) == Scale((40, 60), (40, 60))
    with pytest.raises(UserError, match="size: expected at least 16 pixels, got 8"):
        scale_of(tmp_path / "video", 8)


def test_masks_shrink_and_soft_maps_grow() -> None:
    mask = torch.zeros(40, 60, dtype=torch.uint8)
    mask[10:30, 20:44] = 7
    small = HALF.shrink(mask)
    assert isinstance(small, torch.Tensor)
    assert torch.equal(small, mask[1::2, 1::2])
    grown = HALF.grow(_prediction(torch.stack([small != 7, small == 7]).float()))
    assert isinstance(grown, torch.Tensor) and grown.shape == (40, 60)
    assert (grown != mask).float().mean() < 0.04
    corner_free = (grown != mask)[12:28, 22:42]
    assert not corner_free.any()


def test_points_come_back_to_where_they_were() -> None:
    points = [Keypoint(0, 1, 0.0, 0.0), Keypoint(0, 2, 59.0, 39.0), Keypoint(0, 3, 20.5, 10.5)]
    small = HALF.shrink(points)
    assert isinstance(small, list)
    assert (small[2].x, small[2].y) == (10.0, 5.0)
    assert all(0 <= point.x <= 29 and 0 <= point.y <= 19 for point in small)
    grown = HALF.grow(_prediction(torch.ones(4, 20, 30), *small))
    for before, after in zip(points, grown, strict=True):
        assert abs(before.x - after.x) <= 0.5 and abs(before.y - after.y) <= 0.5
    assert grown[2] == points[2]


def test_nothing_changes_at_the_own_size() -> None:
    same = Scale((40, 60), (40, 60))
    mask = torch.ones(40, 60, dtype=torch.uint8)
    assert same.shrink(mask) is mask
    found = _prediction(torch.ones(2, 40, 60))
    assert same.grow(found) is found.labels
    point = Keypoint(0, 7, 0.25, 39.0)
    assert same.grow(_prediction(torch.ones(2, 40, 60), point)) == [point]


def test_labels_that_do_not_fit_the_video_are_refused() -> None:
    with pytest.raises(UserError, match="expected the frame's size, 40 x 60 pixels, got 20 x 30"):
        HALF.shrink(torch.ones(20, 30, dtype=torch.uint8))
    with pytest.raises(UserError, match="outside"):
        HALF.shrink([Keypoint(0, 1, 60.0, 3.0)])


def test_an_object_that_gets_lost_is_told() -> None:
    mask = torch.ones(40, 60, dtype=torch.uint8)
    mask[10, 10] = 9
    with pytest.warns(UserWarning, match="object 9 is too small to be followed at this size"):
        HALF.shrink(mask)

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference import keypoints as reference
from scalable_binding.errors import UserError
from scalable_binding.metrics.keypoints import box_diagonals, pck, pck_per_point, relative_errors


@given(st.integers(0, 2**31), st.sampled_from([0.05, 0.1, 0.2, 0.5]))
def test_pck_of_several_videos_equals_the_loop(seed: int, alpha: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    videos = []
    for num_frames in (2, 5, 9):
        truths = 100 * torch.rand(num_frames, 6, 2, generator=generator, dtype=torch.float64)
        noise = 20 * torch.randn(truths.shape, generator=generator, dtype=torch.float64)
        visible = torch.rand(num_frames, 6, generator=generator) < 0.8
        visible[1, 0] = True
        videos.append((truths + noise, truths, visible))
    errors = torch.cat([relative_errors(*video) for video in videos])
    expected = reference.pck([tuple(part.numpy() for part in video) for video in videos], alpha)
    assert pck(errors, alpha) == pytest.approx(expected, abs=1e-12)


def test_distances_are_in_six_tenths_of_the_diagonal() -> None:
    truths = torch.tensor([[[0.0, 0.0], [30.0, 40.0]]]).repeat(2, 1, 1)
    predictions = truths + torch.tensor([3.0, 0.0])
    assert relative_errors(predictions, truths)[0].tolist() == pytest.approx([0.1, 0.1])
    half = relative_errors(predictions, truths, diagonals=torch.full((2, 2), 25.0))
    assert half[0].tolist() == pytest.approx([0.2, 0.2])


def test_hidden_points_count_neither_in_the_score_nor_in_the_box() -> None:
    truths = torch.tensor([[[0.0, 0.0], [30.0, 40.0], [900.0, 900.0]]]).repeat(3, 1, 1)
    visible = torch.tensor([True, True, False]).repeat(3, 1)
    assert box_diagonals(truths, visible).tolist() == [50.0] * 3
    predictions = truths.clone()
    predictions[:, 2] = 0
    errors = relative_errors(predictions, truths, visible)
    assert pck(errors, 0.1) == 1.0
    assert math.isnan(pck_per_point(errors, 0.1)[2])


def test_lost_points_are_wrong() -> None:
    truths = torch.tensor([[[0.0, 0.0], [30.0, 40.0]]]).repeat(3, 1, 1)
    predictions = truths.clone()
    predictions[2, 1] = torch.nan
    assert pck_per_point(relative_errors(predictions, truths), 0.5).tolist() == [1.0, 0.5]


def test_frame_0_is_not_scored() -> None:
    truths = torch.tensor([[[0.0, 0.0], [30.0, 40.0]]]).repeat(3, 1, 1)
    predictions = truths.clone()
    predictions[0] += 1000
    assert pck(relative_errors(predictions, truths), 0.0) == 1.0


def test_a_box_of_one_point_allows_no_error() -> None:
    truths = torch.full((2, 1, 2), 7.0)
    assert relative_errors(truths, truths).tolist() == [[0.0]]
    assert relative_errors(truths + 1, truths).tolist() == [[math.inf]]


def test_bad_input_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"expected shape \(3, 4, 2\), got shape \(3, 5, 2\)"):
        relative_errors(torch.zeros(3, 5, 2), torch.zeros(3, 4, 2))
    with pytest.raises(UserError, match="a visible point"):
        pck(torch.full((4, 2), torch.nan), 0.1)

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score

from scalable_binding.errors import UserError
from scalable_binding.metrics.parts import VIP_CLASSES, MeanIoU


def test_vip_has_twenty_classes_with_background_first() -> None:
    assert len(VIP_CLASSES) == MeanIoU().num_classes == 20
    assert VIP_CLASSES[0] == "background"


@given(st.integers(0, 2**31), st.integers(2, 20))
def test_equals_scikit_learn_over_all_frames_at_once(seed: int, num_classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = torch.randint(
        num_classes, (2, 3, 8, 9), generator=generator, dtype=torch.uint8
    )
    score = MeanIoU(num_classes)
    for frames in zip(prediction, truth, strict=True):
        score.update(*frames)
    expected = jaccard_score(truth.flatten(), prediction.flatten(), average="macro")
    assert score.compute() == pytest.approx(expected)


def test_classes_seen_nowhere_do_not_count() -> None:
    score = MeanIoU(4)
    score.update(torch.tensor([0, 0, 1, 1]).byte(), torch.tensor([0, 0, 0, 1]).byte())
    per_class = score.per_class()
    assert per_class[:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert all(math.isnan(value) for value in per_class[2:])
    assert score.compute() == pytest.approx(7 / 12)


def test_a_class_that_is_only_predicted_scores_nothing() -> None:
    score = MeanIoU(3)
    score.update(torch.tensor([2, 0]).byte(), torch.tensor([0, 0]).byte())
    assert score.compute() == pytest.approx((1 / 2 + 0) / 2)


def test_pixels_without_a_true_class_are_left_out() -> None:
    score = MeanIoU(2)
    score.update(torch.tensor([1, 0, 1]).byte(), torch.tensor([1, 0, 255]).byte())
    assert score.compute() == 1.0


def test_bad_input_is_one_clear_line() -> None:
    score = MeanIoU(2)
    with pytest.raises(UserError, match=r"expected shape \(4,\), got shape \(5,\)"):
        score.update(torch.zeros(5).byte(), torch.zeros(4).byte())
    with pytest.raises(UserError, match="expected labels 0 to 1, got label 7"):
        score.update(torch.full((4,), 7).byte(), torch.zeros(4).byte())
    with pytest.raises(UserError, match="at least one pixel"):
        score.compute()

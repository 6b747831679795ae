import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from reference import segmentation as reference
from scalable_binding.errors import UserError
from scalable_binding.metrics import segmentation
from scalable_binding.metrics.segmentation import (
    Summary,
    average,
    boundary_accuracy,
    region_similarity,
    score_sequence,
    summarize,
)

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def mask_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one size, either of which may be empty or full."""
    shape = draw(shapes)
    kinds = st.one_of(
        hnp.arrays(bool, shape), st.just(np.zeros(shape, bool)), st.just(np.ones(shape, bool))
    )
    return draw(kinds), draw(kinds)


def blobs(seed: int, shape: tuple[int, int], num_ids: int, num_frames: int = 1) -> Tensor:
    """Ids `(t h w)` of ellipses that jump about, some of them cut by the border or missing."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    ids = np.zeros((num_frames, *shape), np.uint8)
    for frame in ids:
        for object_id in range(1, num_ids + 1):
            center = generator.uniform(0, shape)
            radii = generator.uniform(0.05, 0.4, 2) * min(shape)
            inside = ((y - center[0]) / radii[0]) ** 2 + ((x - center[1]) / radii[1]) ** 2 < 1
            frame[inside] = object_id
    return torch.from_numpy(ids)


@given(mask_pairs())
def test_region_similarity_equals_the_loop(pair: tuple[np.ndarray, np.ndarray]) -> None:
    prediction, truth = (torch.from_numpy(mask) for mask in pair)
    assert region_similarity(prediction, truth) == reference.region_similarity(*pair)


@settings(deadline=None)
@given(mask_pairs(), st.sampled_from([0.0, 0.008, 0.1, 0.3, 1.5]))
def test_boundary_accuracy_equals_the_loop(
    pair: tuple[np.ndarray, np.ndarray], tolerance: float
) -> None:
    prediction, truth = (torch.from_numpy(mask) for mask in pair)
    expected = reference.boundary_accuracy(*pair, tolerance)
    assert boundary_accuracy(prediction, truth, tolerance) == expected


@given(mask_pairs())
def test_scores_are_symmetric_and_perfect_on_equal_masks(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    a, b = (torch.from_numpy(mask) for mask in pair)
    for score in (region_similarity, boundary_accuracy):
        assert score(a, b) == score(b, a)
        assert score(a, a) == 1.0


@pytest.mark.parametrize(
    ("prediction_is_empty", "truth_is_empty", "expected"),
    [(True, True, 1.0), (True, False, 0.0), (False, True, 0.0)],
)
def test_empty_masks(prediction_is_empty: bool, truth_is_empty: bool, expected: float) -> None:
    square = torch.zeros(20, 20, dtype=torch.bool)
    square[5:12, 6:14] = True
    empty = torch.zeros_like(square)
    prediction = empty if prediction_is_empty else square
    truth = empty if truth_is_empty else square
    assert region_similarity(prediction, truth) == expected
    assert boundary_accuracy(prediction, truth) == expected


def test_a_full_mask_has_no_boundary() -> None:
    full = torch.ones(6, 9, dtype=torch.bool)
    assert not segmentation.boundary(full).any()
    assert boundary_accuracy(full, ~full) == 1.0


@pytest.mark.parametrize("shape", [(480, 854), (96, 128), (31, 77)])
@pytest.mark.parametrize("seed", range(6))
def test_j_and_f_equal_vos_benchmark(seed: int, shape: tuple[int, int]) -> None:
    evaluator = pytest.importorskip("vos_benchmark.evaluator").Evaluator()
    prediction, truth = blobs(2 * seed, shape, 3)[0], blobs(2 * seed + 1, shape, 3)[0]
    evaluator.feed_frame(prediction.numpy(), truth.numpy())
    for object_id in evaluator.object_iou:
        pair = prediction == object_id, truth == object_id
        assert region_similarity(*pair) == evaluator.object_iou[object_id][0]
        assert boundary_accuracy(*pair) == evaluator.boundary_f[object_id][0]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("num_frames", [3, 4, 5, 6, 7, 13, 40])
def test_sequence_equals_trackeval(num_frames: int) -> None:
    metrics = pytest.importorskip("trackeval.metrics")
    coco = pytest.importorskip("pycocotools.mask")
    predictions, truths = (blobs(seed, (48, 64), 1, num_frames) for seed in (7, 8))
    truths[num_frames // 2] = 0

    def detections(masks: Tensor) -> list[list[dict[str, object]]]:
        return [[coco.encode(np.asfortranarray(mask))] for mask in masks[1:-1].numpy()]

    frames = num_frames - 2
    official = metrics.JAndF().eval_sequence(
        {
            "num_timesteps": frames,
            "num_gt_ids": 1,
            "num_tracker_ids": 1,
            "gt_ids": [[0]] * frames,
            "tracker_ids": [[0]] * frames,
            "gt_dets": detections(truths),
            "tracker_dets": detections(predictions),
        }
    )
    (score,) = score_sequence(predictions, truths)
    for letter, summary in [("J", score.region_summary), ("F", score.boundary_summary)]:
        assert summary.mean == pytest.approx(official[f"{letter}-Mean"], abs=1e-12)
        assert summary.recall == pytest.approx(official[f"{letter}-Recall"], abs=1e-12)
        assert summary.decay == pytest.approx(official[f"{letter}-Decay"], abs=1e-12)
    assert score.region_and_boundary == pytest.approx(official["J&F"], abs=1e-12)


@given(st.integers(1, 1200), st.integers(0, 2**32 - 1))
def test_decay_equals_the_official_formula_at_any_length(num_frames: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(num_frames)
    assert math.isclose(
        summarize(torch.from_numpy(values)).decay, reference.decay(values), abs_tol=1e-12
    )


def test_decay_of_a_long_video_that_gets_steadily_worse() -> None:
    values = torch.linspace(1, 0, 1001, dtype=torch.float64)
    assert summarize(values).decay == pytest.approx(0.75)


def test_recall_counts_frames_strictly_above_a_half() -> None:
    assert summarize(torch.tensor([0.5, 0.51, 0.2, 1.0])).recall == 0.5


def test_sequence_skips_the_first_and_the_last_frame() -> None:
    truths = blobs(3, (40, 50), 2, 6)
    predictions = truths.clone()
    predictions[0], predictions[-1] = 0, 0
    scores = score_sequence(predictions, truths)
    assert [score.id for score in scores] == [1, 2]
    for score in scores:
        assert len(score.region) == len(score.boundary) == 4
        assert score.region_and_boundary == 1.0


def test_objects_are_those_of_the_first_true_frame() -> None:
    truths = torch.zeros(4, 8, 8, dtype=torch.uint8)
    truths[0, 2:4, 2:4] = 3
    truths[0, 0, 0] = segmentation.VOID
    truths[1:, 5:, 5:] = 4
    predictions = truths.clone()
    predictions[:, 0, 7] = 9
    assert [score.id for score in score_sequence(predictions, truths)] == [1, 2, 3]


def test_average_counts_objects() -> None:
    summaries = [Summary(mean=m, recall=m / 2, decay=-m) for m in (0.2, 0.4, 0.9)]
    mean = average(summaries)
    assert (mean.mean, mean.recall, mean.decay) == pytest.approx((0.5, 0.25, -0.5))


@pytest.mark.parametrize(
    ("predictions", "truths", "message"),
    [
        (torch.ones(5, 4, 4), torch.ones(5, 4, 6), "5 frames of 4 x 6 pixels, got 5 frames"),
        (torch.ones(2, 4, 4), torch.ones(2, 4, 4), "at least 3 frames"),
        (torch.ones(5, 4, 4), torch.zeros(5, 4, 4), "at least one object"),
        (torch.ones(5, 4, 4), torch.full((5, 4, 4), 255), "only 0 and 255"),
    ],
)
def test_bad_input_is_one_clear_line(predictions: Tensor, truths: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score_sequence(predictions.byte(), truths.byte())


def test_nothing_to_summarize_is_an_error() -> None:
    with pytest.raises(UserError, match="at least one frame"):
        summarize(torch.zeros(0))
    with pytest.raises(UserError, match="at least one object"):
        average([])

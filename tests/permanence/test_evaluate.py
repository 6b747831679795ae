"""Baselines and scores, on paths that are written down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from permanence.clips import network
from permanence.test_inference import saved
from scalable_binding.data.synthetic.hiding import CARRIED, OCCLUDED, VISIBLE
from scalable_binding.errors import UserError
from scalable_binding.permanence import baselines, evaluate
from scalable_binding.permanence.evaluate import Case


def straight(*x: float) -> torch.Tensor:
    """Boxes of 4 x 4 pixels with these middles along x, y = 10."""
    middle = torch.tensor([[value, 10.0] for value in x])[:, None]
    return torch.cat([middle - 2, middle + 2], dim=-1)


VISIBLE_ENDS = torch.tensor([1, 1, 0, 0, 1]).bool()[:, None]


def middles(boxes: torch.Tensor) -> list[float]:
    return ((boxes[:, 0, 0] + boxes[:, 0, 2]) / 2).tolist()


def test_last_seen_stays_and_constant_velocity_goes_on() -> None:
    boxes = straight(3, 5, 100, 100, 11)
    assert middles(baselines.last_seen(boxes, VISIBLE_ENDS)) == [3, 5, 5, 5, 11]
    moving = baselines.constant_velocity(boxes, VISIBLE_ENDS, (20, 20))
    assert middles(moving) == [3, 5, 7, 9, 11]


def test_baselines_do_not_read_hidden_boxes() -> None:
    boxes = straight(3, 5, 6, 7, 11)
    poisoned = boxes.masked_fill(~VISIBLE_ENDS[..., None], torch.nan)
    for found in (
        baselines.last_seen(poisoned, VISIBLE_ENDS),
        baselines.constant_velocity(poisoned, VISIBLE_ENDS, (20, 20)),
    ):
        assert bool(found.isfinite().all())


def test_constant_velocity_stays_in_the_frame_and_forgets_what_was_before_hiding() -> None:
    boxes = straight(12, 16, 0, 0, 0)
    visible = torch.tensor([1, 1, 0, 0, 0]).bool()[:, None]
    assert middles(baselines.constant_velocity(boxes, visible, (20, 20))) == [12, 16, 19, 19, 19]
    seen_once_more = torch.tensor([1, 1, 0, 1, 0]).bool()[:, None]
    found = baselines.constant_velocity(straight(2, 4, 0, 9, 0), seen_once_more, (20, 20))
    assert middles(found) == [2, 4, 6, 9, 9]


def test_scores_are_means_by_kind_and_state_without_the_first_frame() -> None:
    boxes = straight(10, 10, 10, 10)
    states = torch.tensor([VISIBLE, VISIBLE, OCCLUDED, CARRIED])[:, None]
    case = Case("carrying", torch.zeros(4, 3, 20, 20, dtype=torch.uint8), boxes, states)
    found = evaluate.score([case], [straight(0, 10, 12, 14)])
    assert found["distance"]["all"] == {"visible": 0, "occluded": 2, "carried": 4, "hidden": 3}
    assert found["distance"]["carrying"] == found["distance"]["all"]
    overlap = found["overlap"]["all"]
    assert overlap["visible"] == 1 and overlap["carried"] == 0
    assert overlap["occluded"] == pytest.approx(1 / 3)


def test_synthetic_cases_begin_with_things_in_sight_and_are_held_out() -> None:
    cases = list(evaluate.synthetic_cases(1, size=32, num_frames=8))
    assert {case.kind for case in cases} <= set(evaluate.KINDS)
    assert len(cases) >= 3 and all(bool((case.states[0] == VISIBLE).all()) for case in cases)
    again = next(evaluate.synthetic_cases(1, size=32, num_frames=8))
    assert torch.equal(again.frames, cases[0].frames)


def test_an_evaluation_is_json_and_told_networks_are_right_where_they_are_told(
    tmp_path: Path,
) -> None:
    run = saved(tmp_path / "run", network())
    other = saved(tmp_path / "other", network(memory=False))
    cases = list(evaluate.synthetic_cases(1, size=32, num_frames=6))
    results = evaluate.evaluate(run, cases, memoryless=other)
    json.dumps(results, allow_nan=False)
    names = set(results["scores"])
    assert names == {
        "last seen",
        "constant velocity",
        "model",
        "model, told",
        "memory-less",
        "memory-less, told",
    }
    for name in ("last seen", "constant velocity", "model, told"):
        assert results["scores"][name]["distance"]["all"]["visible"] == pytest.approx(0, abs=1e-4)
    assert results["scores"]["model"]["distance"]["all"]["visible"] > 0


def test_nothing_to_score_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="clips to score"):
        evaluate.evaluate(saved(tmp_path / "run", network()), [])

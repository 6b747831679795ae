"""TAP-Vid's scores beside slow loops, and at their ends."""

from __future__ import annotations

import pytest
import torch

from reference import tap_vid as reference
from scalable_binding.metrics import tracks


def case(seed: int):
    generator = torch.Generator().manual_seed(seed)
    truth = 100 * torch.rand(6, 9, 2, generator=generator)
    found = truth + 5 * torch.randn(6, 9, 2, generator=generator)
    told, visible, scored = (torch.rand(6, 9, generator=generator) < 0.7 for _ in range(3))
    return found, told, truth, visible, scored


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_those_of_slow_loops(seed):
    entries = case(seed)
    found = tracks.tap_vid(*entries)
    expected = reference.scores(*(one.tolist() for one in entries))
    assert found == pytest.approx(expected)


def test_the_truth_scores_one():
    _, _, truth, visible, scored = case(0)
    found = tracks.tap_vid(truth, visible, truth, visible, scored)
    assert set(found.values()) == {1.0}


def test_saying_that_all_is_hidden_keeps_positions_and_loses_the_jaccard_index():
    _, _, truth, visible, scored = case(0)
    found = tracks.tap_vid(truth, torch.zeros_like(visible), truth, visible, scored)
    assert found["position_accuracy"] == 1 and found["average_jaccard"] == 0


def test_a_threshold_is_not_within_itself():
    truth = torch.zeros(1, 1, 2)
    found = torch.tensor([[[2.0, 0.0]]])
    one = torch.ones(1, 1, dtype=torch.bool)
    scores = tracks.tap_vid(found, one, truth, one, one)
    assert scores["within_2"] == 0 and scores["within_4"] == 1

"""Overlap and distance of boxes."""

from __future__ import annotations

import pytest
import torch

from scalable_binding.metrics import boxes


def test_overlap_counts_pixels() -> None:
    """Boxes with whole corners against counting unit squares."""
    generator = torch.Generator().manual_seed(0)
    low = torch.randint(0, 6, (40, 2, 2), generator=generator)
    pairs = torch.cat([low, low + torch.randint(1, 6, (40, 2, 2), generator=generator)], dim=-1)
    for first, second in pairs.tolist():
        covered = [
            {(x, y) for x in range(x0, x1) for y in range(y0, y1)}
            for x0, y0, x1, y1 in (first, second)
        ]
        expected = len(covered[0] & covered[1]) / len(covered[0] | covered[1])
        found = boxes.overlaps(torch.tensor(first).float(), torch.tensor(second).float())
        assert float(found) == pytest.approx(expected)


def test_lost_boxes_overlap_nothing_and_are_far_away() -> None:
    truth = torch.tensor([[0.0, 0, 2, 2]])
    lost = torch.full((1, 4), torch.nan)
    assert boxes.overlaps(lost, truth).tolist() == [0]
    assert boxes.distances(lost, truth).tolist() == [torch.inf]


def test_distance_is_between_the_middles() -> None:
    a, b = torch.tensor([0.0, 0, 2, 2]), torch.tensor([3.0, 4, 5, 6])
    assert float(boxes.distances(a, b)) == 5
    assert float(boxes.distances(a, torch.tensor([-1.0, -1, 3, 3]))) == 0


def test_means_are_apart_by_state_and_together_when_hidden() -> None:
    values, states = torch.tensor([1.0, 2, 3, 7]), torch.tensor([0, 1, 1, 3])
    found = boxes.by_state(values, states, ("visible", "occluded", "contained", "carried"))
    assert found == {"visible": 1, "occluded": 2.5, "carried": 7, "hidden": 4}

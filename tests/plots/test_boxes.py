"""Boxes: whole where an object is seen, dashed where it is hidden."""

from __future__ import annotations

import torch

from scalable_binding.plots import boxes


def changed(visible: bool, **more: torch.Tensor) -> torch.Tensor:
    frame = torch.zeros(3, 60, 60, dtype=torch.uint8)
    box = torch.tensor([[10.0, 20, 50, 40]])
    picture = boxes.draw(frame, box, torch.tensor([visible]), **more)
    assert not frame.any() and picture.shape == frame.shape
    return (picture > 60).any(dim=0)


def test_a_visible_box_is_drawn_along_all_of_its_sides() -> None:
    drawn = changed(True)
    assert bool(drawn[20, 10:51].all()) and bool(drawn[40, 10:51].all())
    assert bool(drawn[20:41, 10].all()) and bool(drawn[20:41, 50].all())
    assert not drawn[25:36, 15:46].any()


def test_a_hidden_box_has_gaps_and_a_cross_in_its_middle() -> None:
    side = changed(False)[20, 10:51]
    assert 0.3 < float(side.float().mean()) < 0.8
    assert bool(changed(False)[30, 30])


def test_lost_boxes_are_left_out_and_truth_is_drawn_beneath() -> None:
    frame = torch.zeros(3, 60, 60, dtype=torch.uint8)
    lost = torch.full((1, 4), torch.nan)
    seen = torch.tensor([True])
    assert not boxes.draw(frame, lost, seen).any()
    truth = torch.tensor([[5.0, 5, 25, 25]])
    assert boxes.draw(frame, lost, seen, truth=truth)[:, 5, 5:26].any()


def test_what_is_less_sure_is_fainter() -> None:
    frame = torch.zeros(3, 60, 60, dtype=torch.uint8)
    box, seen = torch.tensor([[10.0, 20, 50, 40]]), torch.tensor([True])
    sure, unsure = (
        boxes.draw(frame, box, seen, confidence=torch.tensor([value])).float().sum()
        for value in (1.0, 0.0)
    )
    assert sure > 1.5 * unsure

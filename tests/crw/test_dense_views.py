"""Windows of the dense walk: inside the frame, and with places that agree with their pixels."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_views import (
    cut,
    draw_windows,
    nearest_nodes,
    places_in_other_view,
)


@given(st.integers(0, 2**31), st.integers(120, 400), st.integers(120, 400))
def test_windows_lie_inside_the_frame(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    windows = draw_windows(4, height, width, DenseWalkConfig(), generator)
    top, left, rows, columns = windows.unbind(dim=1)
    assert (top >= 0).all() and (left >= 0).all() and (rows > 60).all() and (columns > 60).all()
    assert (top + rows <= height).all() and (left + columns <= width).all()


def test_windows_of_a_clip_hold_nearly_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = []
    for _ in range(200):
        windows = draw_windows(2, 240, 427, DenseWalkConfig(), generator).float()
        shares.append(places_in_other_view(windows[:1], windows[1:], 8)[1].float().mean())
    assert torch.stack(shares).mean() > 0.75


def test_a_view_shows_what_its_window_says() -> None:
    rows = torch.arange(120).view(1, 120, 1).expand(3, 120, 200)
    frame = rows.to(torch.uint8).unsqueeze(0)
    view = cut(frame, torch.tensor([[20, 30, 80, 100]]), 40).float()
    expected = 20 + 80 * (torch.arange(40) + 0.5) / 40 - 0.5  # gray value = index of the row
    assert (view[0, 0, :, 20] - expected).abs().max() <= 1.0


def test_shrinking_does_not_alias() -> None:
    stripes = (torch.arange(120) % 2 * 255).to(torch.uint8).view(1, 1, 1, 120).expand(1, 3, 120, -1)
    view = cut(stripes, torch.tensor([[0, 0, 120, 120]]), 60).float()
    assert view[..., 5:-5].std() < 8


def test_places_follow_the_warp_between_two_windows() -> None:
    before = torch.tensor([[10.0, 20.0, 80.0, 80.0]])
    after = torch.tensor([[20.0, 10.0, 80.0, 40.0]])
    places, inside = places_in_other_view(before, after, 4)
    # the node in row 2, column 0: its center is at y = 10 + 50, x = 20 + 10
    assert places[0, 8].tolist() == pytest.approx([(60 - 20) / 20 - 0.5, (30 - 10) / 10 - 0.5])
    assert inside[0].view(4, 4)[:, 0].tolist() == [False, True, True, True]
    assert not inside[0].view(4, 4)[:, 2:].any()


@given(st.floats(-0.5, 3.5), st.floats(-0.5, 3.5))
def test_soft_targets_have_their_place_as_mean(row: float, column: float) -> None:
    place = torch.tensor([[[row, column]]], dtype=torch.float64)
    nodes, weights = nearest_nodes(place, 4)
    assert float(weights.sum()) == pytest.approx(1)
    mean = [float((weights * (nodes // 4)).sum()), float((weights * (nodes % 4)).sum())]
    assert mean == pytest.approx([min(max(row, 0), 3), min(max(column, 0), 3)])

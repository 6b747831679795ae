"""Prompts become soft label maps on cells, and label maps become what users read."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from reference import propagation as reference
from scalable_binding.crw import labels
from scalable_binding.crw.labels import LabelSpace
from scalable_binding.crw.model import RawPatches
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError


def blocks(height: int, width: int, ids: tuple[int, ...]) -> torch.Tensor:
    """A mask with background and one block for each id."""
    mask = torch.zeros(height, width, dtype=torch.uint8)
    for number, label in enumerate(ids):
        mask[9 : height - 5, 8 + number * 14 : 19 + number * 14] = label
    return mask


def point(label: int, x: float, y: float, frame: int = 0) -> Keypoint:
    return Keypoint(frame=frame, id=label, x=x, y=y)


@pytest.mark.parametrize("size", [(40, 56), (37, 53), (41, 49)])
def test_a_mask_becomes_bilinear_shares_of_each_id(size: tuple[int, int]) -> None:
    mask = blocks(*size, (3, 200))
    space = labels.space_of(mask)
    assert space == LabelSpace((3, 200), are_points=False)
    expected = reference.cells_of_mask(mask, (3, 200))
    maps = labels.encode(mask, space, *size)
    torch.testing.assert_close(maps.double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:2]))


@pytest.mark.parametrize("size", [(40, 56), (37, 53)])
def test_maps_come_back_as_bilinear_scores_and_the_likeliest_id(size: tuple[int, int]) -> None:
    mask = blocks(*size, (3, 200))
    space = labels.space_of(mask)
    maps = labels.encode(mask, space, *size)
    ids, scores = labels.decode_masks(maps, space, *size)
    for channel in range(3):
        expected = reference.resize(maps[..., channel], *size)
        torch.testing.assert_close(scores[channel].double(), expected, atol=1e-5, rtol=0)
    assert torch.equal(ids, torch.tensor([0, 3, 200], dtype=torch.uint8)[scores.argmax(0)])
    assert (ids == mask).float().mean() > 0.85


def test_soft_maps_are_resized_and_named_by_their_channels() -> None:
    soft = torch.rand(4, 24, 32, generator=torch.Generator().manual_seed(0)).softmax(dim=0)
    space = labels.space_of(soft)
    assert space.ids == (1, 2, 3)
    maps = labels.encode(soft, space, 24, 32)
    for channel in range(4):
        expected = reference.resize(soft[channel], 3, 4)
        torch.testing.assert_close(maps[..., channel].double(), expected, atol=1e-5, rtol=0)


def test_soft_maps_find_the_channels_of_their_ids() -> None:
    """In a space that began with other ids, channel 1 of soft maps still means id 1."""
    soft = torch.zeros(3, 16, 16)
    soft[1] = 1.0
    maps = labels.encode(soft, LabelSpace((3, 200, 1, 2), are_points=False), 16, 16)
    assert torch.equal(maps[0, 0], torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0]))


def test_new_ids_are_appended_so_that_channels_keep_their_meaning() -> None:
    space = LabelSpace((3, 200), are_points=False)
    assert space.extended((200, 9, 5)).ids == (3, 200, 5, 9)


@pytest.mark.parametrize("zoom", [1.0, 1.3, 2.0, 4.0])
@pytest.mark.parametrize("place", [(20.0, 30.0), (3.5, 3.5), (0.0, 0.0), (52.0, 36.0), (26.1, 4.9)])
def test_points_come_back_where_they_were(place: tuple[float, float], zoom: float) -> None:
    given = [point(7, *place), point(300, 25.0, 18.0)]
    space = labels.space_of(given)
    maps = labels.encode(given, space, 37, 53, zoom)
    found = labels.decode_points(maps, space, 5, 37, 53, zoom)
    assert [(p.frame, p.id, p.confidence) for p in found] == [(5, 7, 1.0), (5, 300, 1.0)]
    for expected, p in zip(given, found, strict=True):
        # The mean of three cells stands for a Gaussian of half a cell.
        assert abs(p.x - expected.x) < 4 / zoom and abs(p.y - expected.y) < 4 / zoom


@pytest.mark.parametrize(("zoom", "size"), [(1.0, (37, 53)), (1.5, (56, 80)), (3.0, (111, 159))])
def test_maps_of_labels_have_the_cells_of_the_frame_as_it_is_read(
    zoom: float, size: tuple[int, int]
) -> None:
    frame = torch.zeros(3, 37, 53, dtype=torch.uint8)
    assert labels.enlarge(frame, zoom).shape == (3, *size)
    mask = torch.ones(37, 53, dtype=torch.uint8)
    cells = RawPatches().features(labels.enlarge(frame, zoom)).shape[1:]
    assert labels.encode(mask, labels.space_of(mask), 37, 53, zoom).shape == (*cells, 2)


def test_a_point_is_a_gaussian_of_half_a_cell_and_background_is_where_none_is() -> None:
    maps = labels.encode([point(1, 27.5, 19.5)], LabelSpace((1,), are_points=True), 40, 56)
    assert maps[2, 3, 1] == 1.0
    torch.testing.assert_close(maps[2, 4, 1], torch.tensor(-2.0).exp())
    torch.testing.assert_close(maps[3, 4, 1], torch.tensor(-4.0).exp())
    assert torch.equal(maps[..., 0], (maps[..., 1] == 0).float())
    assert maps[0, 0, 0] == 1.0


def test_a_point_without_a_map_has_no_confidence_and_lies_in_the_frame() -> None:
    (found,) = labels.decode_points(torch.zeros(1, 2, 2), LabelSpace((4,), True), 0, 3, 9)
    assert found.confidence == 0.0
    assert 0 <= found.x <= 8 and 0 <= found.y <= 2


def test_ids_of_points_may_be_any_numbers() -> None:
    """The map of points holds their positions from 1, since ids may be 0 or above 255."""
    given = [point(0, 4.0, 4.0), point(1000, 60.0, 4.0)]
    space = labels.space_of(given)
    ids, scores = labels.decode_masks(labels.encode(given, space, 8, 64), space, 8, 64)
    assert scores.shape == (3, 8, 64)
    assert [int(ids[4, 4]), int(ids[4, 32]), int(ids[4, 60])] == [1, 0, 2]


@pytest.mark.parametrize(
    ("prompt", "line"),
    [
        (torch.zeros(16, 16, dtype=torch.uint8), "expected a mask with at least one object, got b"),
        (torch.ones(1, 16, 16), "expected a mask with at least one object, got background only"),
        (torch.ones(257, 16, 16), "expected at most 255 objects or points, got 256"),
        ([], "expected at least one keypoint, got none"),
        ([point(i, 1.0, 1.0) for i in range(256)], "at most 255 objects or points, got 256"),
        ([point(2, 1.0, 1.0), point(2, 4.0, 4.0)], "expected each keypoint id once a frame"),
    ],
)
def test_prompts_that_label_nothing_or_too_much_are_refused(prompt: Any, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        labels.space_of(prompt)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(16, 15), (3, 16, 15), (8, 8)])
def test_a_mask_of_another_size_is_refused(shape: tuple[int, ...]) -> None:
    prompt = torch.ones(shape, dtype=torch.uint8 if len(shape) == 2 else torch.float32)
    with pytest.raises(UserError, match="expected the frame's size, 16 x 16 pixels, got"):
        labels.encode(prompt, labels.space_of(prompt), 16, 16)


@pytest.mark.parametrize("place", [(-0.6, 3.0), (3.0, -1.0), (53.0, 3.0), (3.0, 37.0)])
def test_points_outside_the_frame_are_refused(place: tuple[float, float]) -> None:
    prompt = [point(3, *place, frame=9)]
    line = "point 3 in frame 9 is outside the frame: expected x up to 52 and y up to 36, got"
    with pytest.raises(UserError, match=line):
        labels.encode(prompt, labels.space_of(prompt), 37, 53)


@pytest.mark.parametrize("place", [(-0.5, 3.0), (52.5, 36.5)])
def test_a_point_may_lie_anywhere_in_the_outermost_pixels(place: tuple[float, float]) -> None:
    prompt = [point(3, *place)]
    assert labels.encode(prompt, labels.space_of(prompt), 37, 53).amax() == 1.0


def test_a_point_that_is_not_to_be_seen_has_an_empty_map() -> None:
    """Confidence 0 says so, wherever the point is said to be."""
    hidden = Keypoint(frame=0, id=4, x=-999.0, y=0.0, confidence=0.0)
    prompt = [hidden, point(5, 20.0, 20.0)]
    space = labels.space_of(prompt)
    maps = labels.encode(prompt, space, 37, 53)
    assert maps[..., 1].amax() == 0.0
    assert [p.confidence for p in labels.decode_points(maps, space, 1, 37, 53)] == [0.0, 1.0]

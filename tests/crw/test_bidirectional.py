"""Labels of any frames, carried either way: late objects, ends, corrections of one object."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from scalable_binding.crw.bidirectional import InMemory, Reference, propagate_references
from scalable_binding.crw.inference import propagate
from scalable_binding.crw.model import RawPatches
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError

SHARP = PropagationConfig(context=3, neighbors=3, radius=4.0, temperature=0.01, edges=False)
HEIGHT, WIDTH = 64, 120


def _texture(height: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def _two_blocks(count: int = 9) -> tuple[Tensor, Tensor]:
    """Object 3 goes right along the top, object 7 left along the bottom, a cell a frame."""
    frames = _texture(HEIGHT, WIDTH, 0).repeat(count, 1, 1, 1)
    masks = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    for t in range(count):
        for label, top, left in ((3, 8, 8 + 8 * t), (7, 40, 88 - 8 * t)):
            place = slice(top, top + 16), slice(left, left + 16)
            frames[t][:, *place], masks[t][place] = _texture(16, 16, label), label
    return frames, masks


def _only(mask: Tensor, label: int) -> Tensor:
    return torch.where(mask == label, label, 0).to(torch.uint8)


def _overlap(found: Tensor, mask: Tensor, label: int) -> float:
    union = ((found == label) | (mask == label)).sum()
    return float(((found == label) & (mask == label)).sum() / union) if union else 1.0


def _run(frames: Tensor, references: dict[int, Reference], **options: Any) -> list[Any]:
    found = propagate_references(InMemory(frames), references, RawPatches(), SHARP, **options)
    return list(found)


def test_forward_from_the_first_frame_is_propagate() -> None:
    frames, masks = _two_blocks()
    expected = list(propagate(frames, masks[0], RawPatches(), SHARP, corrections={4: masks[4]}))
    found = _run(frames, {0: Reference(masks[0]), 4: Reference(masks[4])})
    for one, other in zip(found, expected, strict=True):
        assert one.frame == other.frame
        assert torch.equal(one.labels, other.labels)
        torch.testing.assert_close(one.scores, other.scores)


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_labels_of_a_frame_in_the_middle_go_where_they_are_asked_to(direction: str) -> None:
    frames, masks = _two_blocks()
    found = _run(frames, {4: Reference(masks[4])}, direction=direction, stop=9)
    numbers = [prediction.frame for prediction in found]
    assert numbers == (list(range(8, -1, -1)) if direction == "backward" else list(range(9)))
    for prediction in found:
        is_reached = {
            "forward": prediction.frame >= 4,
            "backward": prediction.frame <= 4,
            "both": True,
        }[direction]
        for label in (3, 7):
            if is_reached:
                assert _overlap(prediction.labels, masks[prediction.frame], label) > 0.8
        assert bool(prediction.labels.any()) == is_reached


def test_a_range_is_labeled_and_nothing_else_is_read() -> None:
    frames, masks = _two_blocks()
    read = []

    class Watched(InMemory):
        def forward(self, start: int, stop: int | None) -> Any:
            for number, frame in enumerate(super().forward(start, stop), start):
                read.append(number)
                yield frame

    references = {3: Reference(masks[3])}
    found = list(
        propagate_references(Watched(frames), references, RawPatches(), SHARP, start=2, stop=6)
    )
    assert [prediction.frame for prediction in found] == [2, 3, 4, 5] == read


def test_an_object_may_come_late_and_end() -> None:
    """Object 7 comes in frame 3, by a mask with it alone; 3 ends in frame 6."""
    frames, masks = _two_blocks()
    references = {
        0: Reference(_only(masks[0], 3), objects=(3,)),
        3: Reference(_only(masks[3], 7), objects=(7,)),
        6: Reference(torch.zeros_like(masks[0]), objects=(3,)),
    }
    for prediction in _run(frames, references):
        t = prediction.frame
        assert prediction.ids == (3, 7)
        expected = _only(masks[t], 3) * (t < 6) + _only(masks[t], 7) * (t >= 3)
        for label in (3, 7):
            assert _overlap(prediction.labels, expected, label) > 0.8, (t, label)


def _repainted(frames: Tensor, masks: Tensor, label: int, since: int) -> Tensor:
    """The frames with an object that looks all different from a frame on."""
    changed = frames.clone()
    for t in range(since, len(frames)):
        inside = (masks[t] == label).nonzero()
        (top, left), (bottom, right) = inside.amin(0).tolist(), (inside.amax(0) + 1).tolist()
        changed[t, :, top:bottom, left:right] = _texture(bottom - top, right - left, 50)
    return changed


def test_one_object_is_corrected_and_the_other_stays() -> None:
    """Object 7 looks different from frame 4 on, and is shown again there."""
    frames, masks = _two_blocks()
    frames = _repainted(frames, masks, 7, since=4)
    alone = _run(frames, {0: Reference(masks[0])})
    assert _overlap(alone[5].labels, masks[5], 7) < 0.5
    references = {0: Reference(masks[0]), 4: Reference(_only(masks[4], 7), objects=(7,))}
    for prediction in _run(frames, references):
        for label in (3, 7):
            assert _overlap(prediction.labels, masks[prediction.frame], label) > 0.8


def test_between_two_labels_the_nearer_and_surer_side_counts_more() -> None:
    """Scores go from the labels of one side to those of the other."""
    still = _texture(HEIGHT, WIDTH, 0).repeat(9, 1, 1, 1)
    left, right = (torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8) for _ in range(2))
    left[:, :64], right[:, :32] = 1, 1  # half of what the first says, the second says too
    references = {0: Reference(left), 8: Reference(right)}
    found = _run(still, references, direction="both")
    shares = [float(prediction.maps[4, 6, 1]) for prediction in found]
    assert shares[0] == pytest.approx(1.0, abs=0.02) and shares[8] == pytest.approx(0.0, abs=0.02)
    assert all(first >= second for first, second in pairwise(shares))
    assert shares[4] == pytest.approx(0.5, abs=0.1)
    assert _overlap(found[1].labels, left, 1) > 0.95
    assert _overlap(found[7].labels, right, 1) > 0.95


def test_both_ways_an_object_is_found_where_one_way_has_lost_it() -> None:
    frames, masks = _two_blocks()
    frames = _repainted(frames, masks, 7, since=5)
    references = {0: Reference(masks[0]), 8: Reference(masks[8])}
    lost = _run(frames, references)
    assert _overlap(lost[6].labels, masks[6], 7) < 0.5
    for prediction in _run(frames, references, direction="both"):
        for label in (3, 7):
            assert _overlap(prediction.labels, masks[prediction.frame], label) > 0.8


def test_points_meet_in_the_middle() -> None:
    frames, _ = _two_blocks()
    ends = [Keypoint(0, 5, 15.5, 15.5), Keypoint(8, 5, 79.5, 15.5)]
    references = {point.frame: Reference([point]) for point in ends}
    for prediction in _run(frames, references, direction="both"):
        (point,) = prediction.keypoints
        assert point.x == pytest.approx(15.5 + 8 * prediction.frame, abs=4)
        assert point.frame == prediction.frame


@pytest.mark.parametrize(
    ("references", "options", "line"),
    [
        ({}, {}, "labels of at least one frame"),
        ({9: "mask"}, {"stop": 9}, "labels of frame 9: expected a frame from 0 to 8"),
        ({1: "mask"}, {"start": 2}, "labels of frame 1: expected a frame from 2 on"),
        ({20: "mask"}, {}, "labels of frame 20: expected a frame below 9, where the video ends"),
        ({0: "mask"}, {"direction": "sideways"}, "one of forward, backward, both"),
        ({0: "mask"}, {"start": 4, "stop": 2}, "0 <= start < stop"),
        ({0: "mask", 1: "points"}, {}, "masks for all labeled frames, or key points for all"),
        ({0: "mask"}, {"direction": "backward"}, "the end of the video"),
        ({0: "empty"}, {}, "at least one object"),
        ({0: "other"}, {}, "mask: expected no objects but 3, got object 7"),
    ],
)
def test_what_cannot_be_used_is_one_line(references: Any, options: Any, line: str) -> None:
    frames, masks = _two_blocks()
    made = {
        "mask": Reference(masks[0]),
        "points": Reference([Keypoint(0, 1, 4.0, 4.0)]),
        "empty": Reference(torch.zeros_like(masks[0])),
        "other": Reference(masks[0], objects=(3,)),
    }
    with pytest.raises(UserError, match=line):
        _run(frames, {number: made[name] for number, name in references.items()}, **options)

"""Propagation equals its loops, follows what moves, takes corrections, and stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from reference import propagation as reference
from scalable_binding.crw import labels as label_maps
from scalable_binding.crw.inference import Prediction, Propagator, propagate
from scalable_binding.crw.model import RawPatches, draw
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError
from scalable_binding.walk.axes import project

SHARP = PropagationConfig(context=3, neighbors=3, radius=4.0, temperature=0.01, edges=False)


class Given:
    """A model whose features of frame number n, which its first pixel tells, are made up."""

    stride = 8

    def __init__(self, features: Sequence[Tensor]) -> None:
        self.table = features

    def features(self, frame: Tensor) -> Tensor:
        return self.table[int(frame[0, 0, 0])]


def numbered(count: int, height: int, width: int) -> Tensor:
    frames = torch.zeros(count, 3, height, width, dtype=torch.uint8)
    frames[:, 0] = torch.arange(count, dtype=torch.uint8)[:, None, None]
    return frames


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


def moving(count: int = 5, height: int = 64, width: int = 88) -> tuple[Tensor, Tensor]:
    """A textured block that goes a cell to the right each frame, and its masks (id 7)."""
    frames = texture(height, width).repeat(count, 1, 1, 1)
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    for t in range(count):
        left = 8 + 8 * t
        frames[t, :, 24:48, left : left + 24] = texture(24, 24, seed=1)
        masks[t, 24:48, left : left + 24] = 7
    return frames, masks


def overlap(prediction: Prediction, mask: Tensor, label: int) -> float:
    found, true = prediction.labels == label, mask == label
    return float((found & true).sum() / (found | true).sum())


def run(*given: Any, **named: Any) -> list[Prediction]:
    return list(propagate(*given, **named))


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize(("context", "neighbors"), [(2, 4), (4, 7), (1, 1)])
@pytest.mark.parametrize("size", [(40, 48), (37, 45)])
def test_every_frame_equals_the_loop_over_cells(
    fill: bool, context: int, neighbors: int, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(0)
    scene = torch.randn(12, 5, 6, generator=generator)
    noise = torch.randn(5, 12, 5, 6, generator=generator)
    features = normalize(scene + 0.7 * noise, dim=1)
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[8:30, 4:20], mask[5:24, 26:40] = 3, 200
    settings = {"context": context, "neighbors": neighbors, "radius": 2.5, "temperature": 0.07}
    expected = reference.propagate(
        list(features), reference.cells_of_mask(mask, (3, 200)), fill=fill, **settings
    )
    config = PropagationConfig(fill=fill, edges=False, **settings)
    found = run(numbered(5, *size), mask, Given(features), config)
    for prediction, maps in zip(found, expected, strict=True):
        for channel in range(3):
            scores = reference.resize(maps[..., channel], *size)
            torch.testing.assert_close(
                prediction.scores[channel].double(), scores, atol=2e-4, rtol=0
            )


@pytest.mark.parametrize("size", [(64, 80), (61, 83), (8, 8), (5, 23)])
def test_a_still_video_keeps_its_mask(size: tuple[int, int]) -> None:
    mask = torch.zeros(size, dtype=torch.uint8)
    mask[size[0] // 3 :, : size[1] // 2] = 1
    found = run(texture(*size).repeat(6, 1, 1, 1), mask, RawPatches(), SHARP)
    assert [prediction.frame for prediction in found] == list(range(6))
    for prediction in found:
        assert torch.equal(prediction.labels, found[0].labels)
        torch.testing.assert_close(prediction.scores, found[0].scores, atol=1e-3, rtol=0)


@pytest.mark.parametrize("config", [SHARP, PropagationConfig(fill=False, neighbors=2, edges=False)])
def test_an_object_that_moves_by_cells_is_followed(config: PropagationConfig) -> None:
    frames, masks = moving()
    for prediction, mask in zip(run(frames, masks[0], RawPatches(), config), masks, strict=True):
        assert overlap(prediction, mask, 7) > 0.8


def test_few_axes_carry_labels_as_all_features_do() -> None:
    frames, masks = moving()
    found = run(frames, masks[0], RawPatches(), replace(SHARP, axes=70))  # of 192
    for prediction, mask in zip(found, masks, strict=True):
        assert overlap(prediction, mask, 7) > 0.8
    alone = run(frames, masks[0], RawPatches(), replace(SHARP, axes=1))
    assert overlap(alone[-1], masks[-1], 7) < 0.5


def test_frames_in_reverse_carry_labels_back() -> None:
    frames, masks = moving()
    found = run(reversed(frames), masks[-1], RawPatches(), SHARP)
    assert overlap(found[-1], masks[0], 7) > 0.8


def test_all_that_is_said_of_a_frame_agrees() -> None:
    frames, masks = moving(3)
    masks[0, :8, :8] = 200
    for prediction in run(frames, masks[0], RawPatches(), SHARP):
        assert prediction.ids == (7, 200)
        assert prediction.scores.shape == (3, 64, 88)
        torch.testing.assert_close(prediction.scores.sum(0), torch.ones(64, 88))
        assert torch.equal(prediction.confidence, prediction.scores.amax(0))
        assert set(prediction.labels.unique().tolist()) == {0, 7, 200}
        assert prediction.keypoints == ()


def test_soft_maps_go_in_as_they_come_out() -> None:
    frames, masks = moving()
    soft = torch.stack([masks[0] == 0, masks[0] == 7]).float()
    found = run(frames, soft, RawPatches(), SHARP)
    assert found[-1].ids == (1,)
    assert overlap(found[-1], masks[-1] // 7, 1) > 0.8
    again = run(frames[2:], found[2].scores, RawPatches(), SHARP)
    assert overlap(again[-1], masks[-1] // 7, 1) > 0.8


def test_keypoints_are_followed_with_their_confidence() -> None:
    frames, _ = moving()
    points = [
        Keypoint(frame=0, id=12, x=19.5, y=35.5),
        Keypoint(frame=0, id=1000, x=75.0, y=8.0),
    ]
    found = run(frames, points, RawPatches(), SHARP)
    for t, prediction in enumerate(found):
        moved, still = prediction.keypoints
        assert (moved.frame, moved.id, still.id) == (t, 12, 1000)
        assert abs(moved.x - (19.5 + 8 * t)) < 4 and abs(moved.y - 35.5) < 4
        assert abs(still.x - 75) < 4 and abs(still.y - 8) < 4
        assert 0.8 < moved.confidence <= 1


def test_what_is_thinner_than_a_cell_is_followed_where_frames_are_enlarged() -> None:
    """A rod four pixels wide that goes half a cell to the right each frame."""
    frames = texture(64, 88).repeat(8, 1, 1, 1)
    for t in range(8):
        frames[t, :, 16:48, 12 + 4 * t : 16 + 4 * t] = texture(32, 4, seed=1)
    points = [Keypoint(frame=0, id=1, x=13.5, y=29.5)]

    def errors(zoom: float) -> list[float]:
        found = run(frames, points, RawPatches(), replace(SHARP, zoom=zoom))
        places = [prediction.keypoints[0] for prediction in found]
        return [max(abs(p.x - 13.5 - 4 * t), abs(p.y - 29.5)) for t, p in enumerate(places)]

    assert max(errors(2.0)) < 8
    assert max(errors(1.0)) > 20  # it stays behind


def test_a_point_whose_place_vanishes_loses_confidence() -> None:
    frames, _ = moving(2)
    frames[1, :, 24:48, 16:40] = texture(24, 24, seed=9)
    points = [Keypoint(frame=0, id=1, x=19.5, y=35.5)]
    gone = run(frames, points, RawPatches(), SHARP)[-1].keypoints[0]
    assert gone.confidence < 0.8


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_propagation_that_stopped_goes_on_as_if_it_had_not(stop: int) -> None:
    frames, masks = moving(6)
    whole = run(frames, masks[0], RawPatches(), SHARP)
    space = label_maps.space_of(masks[0])
    propagator = Propagator(RawPatches(), SHARP)
    recent = [(frames[number], whole[number].maps) for number in range(1, stop)]
    propagator.resume(space, [(frames[0], whole[0].maps)], recent)
    for number in range(stop, 6):
        found = propagator.step(frames[number])
        torch.testing.assert_close(found.scores, whole[number].scores)


def test_several_labeled_frames_are_taken_at_once() -> None:
    frames, masks = moving(5)
    space = label_maps.space_of(masks[0])
    references = [
        (frames[number], label_maps.encode(masks[number], space, *masks.shape[1:]))
        for number in (4, 0)
    ]
    propagator = Propagator(RawPatches(), SHARP)
    propagator.resume(space, references)
    assert overlap(propagator.step(frames[1]), masks[1], 7) > 0.9
    with pytest.raises(UserError, match=r"label maps: expected \(8, 11, 2\), got \(8, 11, 3\)"):
        propagator.resume(space, [(frames[0], torch.zeros(8, 11, 3))])
    with pytest.raises(UserError, match="references: expected at least one labeled frame"):
        propagator.resume(space, [])
    assert overlap(propagator.step(frames[2]), masks[2], 7) > 0.9, "a refusal changes nothing"


def test_a_correction_replaces_what_was_said_and_is_kept() -> None:
    """The first frame goes on to count for a little, though here its labels are wrong."""
    frames, masks = moving(6)
    wrong = torch.roll(masks[0], 30, dims=0)
    found = run(frames, wrong, RawPatches(), SHARP, corrections={2: masks[2]})
    assert overlap(found[1], masks[1], 7) < 0.5
    for t in (2, 3, 4, 5):
        assert overlap(found[t], masks[t], 7) > 0.7
        assert found[t].frame == t


def test_a_correction_after_the_end_is_said_not_to_count() -> None:
    frames, masks = moving(3)
    with pytest.warns(UserWarning, match="labels of frame 3 are not used: the video has 3 frames"):
        run(frames, masks[0], RawPatches(), corrections={2: masks[2], 3: masks[0]})


def test_a_correction_may_bring_a_new_object() -> None:
    frames, masks = moving(6)
    labeled = masks[3].clone()
    labeled[48:64, 64:88] = 2
    found = run(frames, masks[0], RawPatches(), SHARP, corrections={3: labeled})
    assert found[2].ids == (7,) and found[3].ids == (7, 2)
    assert overlap(found[5], masks[5], 7) > 0.8
    expected = torch.zeros(64, 88, dtype=torch.uint8)
    expected[48:64, 64:88] = 2
    assert overlap(found[5], expected, 2) > 0.8


def test_a_correction_is_not_outvoted_by_the_frames_before_it() -> None:
    """Many frames have said otherwise; what the user says holds from its frame on."""
    frames = texture(64, 88).repeat(12, 1, 1, 1)
    leaked = torch.zeros(64, 88, dtype=torch.uint8)
    leaked[8:56, 8:80] = 1
    right = torch.zeros_like(leaked)
    right[8:56, 8:32] = 1
    config = PropagationConfig(context=5, edges=False)
    found = run(frames, leaked, RawPatches(), config, corrections={8: right})
    for prediction in found[8:]:
        assert overlap(prediction, right, 1) > 0.8


def test_a_correction_that_is_refused_changes_nothing() -> None:
    frames, masks = moving()
    asked, unasked = Propagator(RawPatches(), SHARP), Propagator(RawPatches(), SHARP)
    for propagator in (asked, unasked):
        propagator.start(frames[0], masks[0])
        propagator.step(frames[1])
    with pytest.raises(UserError, match="the frame's size"):
        asked.correct(torch.full((8, 8), 9, dtype=torch.uint8))
    after, expected = asked.step(frames[2]), unasked.step(frames[2])
    assert after.ids == expected.ids
    assert torch.equal(after.scores, expected.scores)


def test_soft_maps_as_a_correction_keep_the_ids_apart() -> None:
    frames, masks = moving(4)
    new = torch.zeros(2, 64, 88)
    new[1, 48:64, 64:88] = 1.0
    new[0] = 1 - new[1]
    found = run(frames, masks[0], RawPatches(), SHARP, corrections={2: new})
    assert found[2].ids == (7, 1)
    assert set(found[2].labels.unique().tolist()) == {0, 1}


def test_a_corrected_point_moves_and_the_others_stay() -> None:
    frames, _ = moving(5)
    points = [Keypoint(0, 1, 19.5, 35.5), Keypoint(0, 2, 75.0, 8.0)]
    better = [Keypoint(2, 1, 35.5, 35.5 + 16), Keypoint(2, 3, 10.0, 10.0)]
    found = run(frames, points, RawPatches(), SHARP, corrections={2: better})
    assert [[p.id for p in prediction.keypoints] for prediction in found[1:3]] == [
        [1, 2],
        [1, 2, 3],
    ]
    first, second, third = found[2].keypoints
    assert abs(first.y - 51.5) < 4
    assert abs(second.x - 75) < 4 and abs(second.y - 8) < 4
    assert abs(third.x - 10) < 4 and abs(third.y - 10) < 4


def test_a_frame_can_be_corrected_twice() -> None:
    """The second correction is of the same frame, not of the one before it."""
    frames, _ = moving(3)
    propagator = Propagator(RawPatches(), SHARP)
    propagator.start(frames[0], [Keypoint(0, 1, 19.5, 35.5), Keypoint(0, 2, 75.0, 8.0)])
    propagator.step(frames[1])
    propagator.step(frames[2])
    propagator.correct([Keypoint(2, 1, 60.0, 60.0)])
    both = propagator.correct([Keypoint(2, 2, 4.0, 4.0)])
    first, second = both.keypoints
    assert abs(first.x - 60) < 4 and abs(first.y - 60) < 4
    assert abs(second.x - 4) < 4 and abs(second.y - 4) < 4


def test_the_first_frame_can_be_corrected() -> None:
    frames, masks = moving()
    propagator = Propagator(RawPatches(), SHARP)
    propagator.start(frames[0], torch.roll(masks[0], 30, dims=0))
    propagator.correct(masks[0])
    assert overlap(propagator.step(frames[1]), masks[1], 7) > 0.8


def test_a_new_start_forgets_what_was_before() -> None:
    frames, masks = moving()
    propagator = Propagator(RawPatches(), SHARP)
    propagator.start(frames[3], masks[3])
    propagator.step(frames[4])
    propagator.start(frames[0], masks[0])
    fresh = Propagator(RawPatches(), SHARP)
    fresh.start(frames[0], masks[0])
    assert torch.equal(propagator.step(frames[1]).scores, fresh.step(frames[1]).scores)


def test_a_start_that_is_refused_changes_nothing() -> None:
    frames, masks = moving()
    propagator = Propagator(RawPatches(), SHARP)
    propagator.start(frames[0], masks[0])
    with pytest.raises(UserError, match="the frame's size"):
        propagator.start(frames[1], torch.full((8, 8), 9, dtype=torch.uint8))
    assert propagator.step(frames[1]).ids == (7,)


def test_frames_are_read_one_at_a_time_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The context: the labeled frames and the last few. All else can be forgotten."""
    alive: set[int] = set()

    def watched(*given: Any) -> Tensor:
        features = project(*given)
        _watch(features, alive)
        return features

    monkeypatch.setattr("scalable_binding.crw.propagator.project", watched)
    read: list[int] = []

    class Watched:
        stride = 8

        def __init__(self, model: Any) -> None:
            self.model, self.most = model, 0

        def features(self, frame: Tensor) -> Tensor:
            self.most = max(self.most, len(alive))
            features: Tensor = self.model.features(frame)
            return features

    def camera() -> Iterator[Tensor]:
        while True:
            read.append(len(read))
            yield texture(16, 24, seed=len(read) % 3)

    mask = torch.ones(16, 24, dtype=torch.uint8)
    mask[:8] = 0
    model = Watched(RawPatches())
    config = PropagationConfig(context=4, neighbors=2, edges=False)
    predictions = propagate(camera(), mask, model, config, corrections={5: mask})
    for number in range(30):
        assert next(predictions).frame == number
        assert len(read) == number + 1
    # Two labeled frames, four recent ones, and the one that is being labeled.
    assert model.most == 2 + 4


def _watch(tensor: Tensor, alive: set[int]) -> None:
    import weakref

    key = id(tensor)
    alive.add(key)
    weakref.finalize(tensor, alive.discard, key)


def test_a_video_of_one_frame_has_its_own_labels() -> None:
    frames, masks = moving(1)
    (prediction,) = run(frames, masks[0], RawPatches())
    assert overlap(prediction, masks[0], 7) > 0.95


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 8), (65, 127)])
def test_labels_have_the_size_of_odd_frames(size: tuple[int, int]) -> None:
    mask = torch.ones(size, dtype=torch.uint8)
    for prediction in run(texture(*size).repeat(3, 1, 1, 1), mask, RawPatches()):
        assert prediction.labels.shape == prediction.confidence.shape == size
        assert (prediction.labels == 1).all()


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        (torch.zeros(16, 24, dtype=torch.uint8), "at least one object"),
        (torch.ones(16, 23, dtype=torch.uint8), "expected the frame's size, 16 x 24 pixels"),
        (torch.ones(2, 8, 12), "got 8 x 12"),
        ([], "at least one keypoint"),
        ([Keypoint(0, 1, 24.0, 3.0)], "outside the frame"),
    ],
)
def test_labels_that_do_not_fit_are_one_line(labels: Any, line: str) -> None:
    with pytest.raises(UserError, match=line) as caught:
        run(texture(16, 24).unsqueeze(0), labels, RawPatches())
    assert "\n" not in str(caught.value)


def test_a_frame_of_another_size_is_named() -> None:
    frames = [texture(16, 24), texture(16, 24), texture(24, 16)]
    mask = torch.ones(16, 24, dtype=torch.uint8)
    with pytest.raises(UserError, match="frame 2: expected 16 x 24 pixels, got 24 x 16 pixels"):
        run(iter(frames), mask, RawPatches())


def test_no_frames_are_one_line() -> None:
    with pytest.raises(UserError, match="video: expected at least one frame, got none"):
        run([], torch.ones(16, 24, dtype=torch.uint8), RawPatches())


def test_steps_and_corrections_need_a_start() -> None:
    propagator = Propagator(RawPatches())
    with pytest.raises(UserError, match="labels of the first frame before others"):
        propagator.step(texture(16, 24))
    with pytest.raises(UserError, match="labels of the first frame before others"):
        propagator.correct(torch.ones(16, 24, dtype=torch.uint8))


@pytest.mark.parametrize("points_first", [True, False])
def test_points_and_masks_do_not_mix(points_first: bool) -> None:
    prompts: list[Any] = [[Keypoint(0, 1, 3.0, 3.0)], torch.ones(16, 24, dtype=torch.uint8)]
    first, second = prompts if points_first else prompts[::-1]
    frames = texture(16, 24).repeat(2, 1, 1, 1)
    with pytest.raises(UserError, match="correction: expected labels of the same kind"):
        run(frames, first, RawPatches(), corrections={1: second})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_a_card_takes_frames_and_labels_of_the_host() -> None:
    frames, masks = moving()
    encoder = draw(0, widths=(8, 16, 16), width=8).eval()
    for prediction in run(frames, masks[0], encoder.cuda(), SHARP):
        assert prediction.labels.device == frames.device

"""Test-time training: on a copy, of the frames around, the same each time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scalable_binding.crw.adaptation import Adapter, windows
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.inference import propagate
from scalable_binding.crw.model import Encoder, RawPatches, draw
from scalable_binding.crw.presets import AdaptationConfig
from scalable_binding.crw.walk_config import PatchConfig, ViewConfig, WalkConfig
from scalable_binding.errors import UserError

WALK = WalkConfig(patches=PatchConfig(frame_size=32, size=16, stride=16))
QUICK = AdaptationConfig(steps=2, window=2, interval=2, batch_size=2, num_frames=3, walk=WALK)


def video(count: int = 6, height: int = 40, width: int = 48) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    scene = torch.randint(0, 256, (3, height, width + 2 * count), generator=generator)
    return [scene[:, :, 2 * t : 2 * t + width].byte() for t in range(count)]


def encoder() -> Encoder:
    return draw(0, widths=(4, 8, 8), width=6).eval()


def state(model: Encoder) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("reach", [1, 2, 10])
@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_windows_hold_the_frames_around_each(reach: int, count: int) -> None:
    frames = list(torch.arange(count * 3, dtype=torch.uint8).view(count, 3, 1, 1))
    found = list(windows(frames, reach))
    assert len(found) == count
    for number, (frame, around) in enumerate(found):
        assert frame is frames[number]
        expected = frames[max(0, number - reach) : number + reach + 1]
        assert [id(f) for f in around] == [id(f) for f in expected]


def test_windows_look_ahead_no_further_than_they_reach() -> None:
    read: list[int] = []

    def camera() -> Iterator[Tensor]:
        while True:
            read.append(len(read))
            yield torch.zeros(3, 8, 8, dtype=torch.uint8)

    views = windows(camera(), 3)
    for number in range(5):
        next(views)
        assert len(read) == number + 1 + 3


def test_the_copy_learns_and_the_model_given_does_not() -> None:
    given = encoder()
    before = state(given)
    adapter = Adapter(given, QUICK)
    adapter.fit(video())
    assert equal(state(given), before)
    changed = state(adapter.encoder)
    assert all(
        not torch.equal(changed[name], before[name])
        for name, _ in given.named_parameters()
        if name != "head.bias"
    )
    assert not adapter.encoder.training


@pytest.mark.parametrize(
    "walk", [WALK, WalkConfig(nodes="cells", views=ViewConfig(size=32, shift=4.0))]
)
@pytest.mark.parametrize("crop", [None, 36, 1000])
def test_learning_is_the_same_each_time(walk: WalkConfig, crop: int | None) -> None:
    before = torch.get_rng_state()
    states = []
    for seed in (0, 0, 1):
        config = AdaptationConfig(steps=1, batch_size=2, walk=walk, crop=crop, seed=seed)
        adapter = Adapter(encoder(), config)
        adapter.fit(video())
        states.append(state(adapter.encoder))
    assert equal(states[0], states[1]) and not equal(states[0], states[2])
    assert torch.equal(torch.get_rng_state(), before)


DENSE = DenseWalkConfig(view=32, pool=2, starts=3)


def test_the_dense_walk_adapts_and_keeps_the_statistics_that_frames_are_read_with() -> None:
    config = AdaptationConfig(steps=2, batch_size=2, num_frames=3, dense=DENSE)
    given = encoder()
    states = []
    for _ in range(2):
        adapter = Adapter(given, config)
        adapter.fit(video())
        states.append(state(adapter.encoder))
    before = state(given)
    assert equal(states[0], states[1]) and not equal(states[0], before)
    kept = [name for name in before if "running" in name or "num_batches" in name]
    assert kept and all(torch.equal(states[0][name], before[name]) for name in kept)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("config", "name"),
    [
        (AdaptationConfig(steps=1, num_frames=2, dense=replace(DENSE, temperature=50.0)), "dense"),
        (AdaptationConfig(steps=1, num_frames=2, walk=replace(WALK, temperature=50.0)), "walk"),
    ],
)
def test_walks_that_start_out_uniform_are_warned_of_once(
    config: AdaptationConfig, name: str
) -> None:
    adapter = Adapter(encoder(), config)
    with pytest.warns(UserWarning, match=rf"come home, 0.25 by chance; lower {name}.temperature"):
        adapter.fit(video())
    adapter.fit(video())


def test_one_frame_teaches_nothing() -> None:
    adapter = Adapter(encoder(), QUICK)
    adapter.fit(video(1))
    assert equal(state(adapter.encoder), state(encoder()))


def test_two_frames_are_a_clip_though_more_were_asked_for() -> None:
    adapter = Adapter(encoder(), QUICK)
    adapter.fit(video(2))
    assert not equal(state(adapter.encoder), state(encoder()))


def test_learning_lowers_the_loss_on_the_window() -> None:
    from scalable_binding.crw import objective

    walk = WalkConfig(patches=PatchConfig(frame_size=48, size=16, stride=16), edge_dropout=0.0)
    config = AdaptationConfig(steps=30, batch_size=2, num_frames=2, lr=3e-3, walk=walk)
    frames = torch.stack(video(4))
    adapter = Adapter(encoder(), config)

    def value(model: Encoder) -> float:
        draws = torch.Generator().manual_seed(9)
        batch = {"frames": frames.unfold(0, 2, 1).movedim(-1, 1)}
        with torch.no_grad():
            return float(objective.loss(copy.deepcopy(model).train(), batch, draws, walk)[0])

    before = value(adapter.encoder)
    adapter.fit(list(frames))
    assert value(adapter.encoder) < 0.9 * before


def test_propagation_learns_before_labels_go_to_a_frame() -> None:
    frames, given = video(), encoder()
    mask = torch.zeros(40, 48, dtype=torch.uint8)
    mask[8:24, 8:24] = 1
    before = state(given)
    plain = list(propagate(frames, mask, given))
    adapted = list(propagate(frames, mask, given, adaptation=QUICK))
    again = list(propagate(frames, mask, given, adaptation=QUICK))
    assert equal(state(given), before)
    assert [p.frame for p in adapted] == list(range(6))
    assert torch.equal(adapted[0].scores, plain[0].scores)
    assert not torch.equal(adapted[1].scores, plain[1].scores)
    for first, second in zip(adapted, again, strict=True):
        assert torch.equal(first.scores, second.scores)


@pytest.mark.parametrize(("interval", "expected"), [(1, [0, 1, 2, 3, 4, 5]), (2, [1, 3, 5])])
def test_the_interval_says_at_which_frames(
    interval: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[int] = []
    frames = [torch.full((3, 16, 16), t, dtype=torch.uint8) for t in range(6)]

    def fit(self: Adapter, window: Any) -> None:
        learnt.append(int(max(frame.amax() for frame in window)) - 1)

    monkeypatch.setattr(Adapter, "fit", fit)
    config = AdaptationConfig(window=1, interval=interval)
    mask = torch.ones(16, 16, dtype=torch.uint8)
    assert len(list(propagate(frames, mask, encoder(), adaptation=config))) == 6
    assert learnt == [min(t, 4) for t in expected]


def test_a_video_of_one_frame_needs_no_learning() -> None:
    (prediction,) = propagate(
        video(1), torch.ones(40, 48, dtype=torch.uint8), encoder(), adaptation=QUICK
    )
    assert (prediction.labels == 1).all()


def test_frames_of_several_sizes_are_one_line() -> None:
    frames = [*video(3), video(1, height=48)[0]]
    mask = torch.ones(40, 48, dtype=torch.uint8)
    with pytest.raises(UserError, match="frame 3: expected 40 x 48 pixels, got 48 x 48") as caught:
        list(propagate(iter(frames), mask, encoder(), adaptation=QUICK))
    assert "\n" not in str(caught.value)


def test_a_model_without_weights_is_one_line() -> None:
    mask = torch.ones(40, 48, dtype=torch.uint8)
    with pytest.raises(UserError, match="expected a model with weights to adapt, got RawPatches"):
        next(propagate(video(), mask, RawPatches(), adaptation=QUICK))

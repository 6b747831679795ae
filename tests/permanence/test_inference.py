"""Tracking: streaming equals clips, boxes come in the video's pixels, bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from permanence.clips import batch, network
from scalable_binding.data.labels.boxes import Box
from scalable_binding.errors import UserError
from scalable_binding.permanence import walkers
from scalable_binding.permanence.inference import Tracker, load, track
from scalable_binding.permanence.model import SpatialMemory, cells, pixels
from scalable_binding.permanence.presets import TrackingConfig

HIDDEN = TrackingConfig(seen=1.0, rest=0.0)  # nothing is ever seen: walkers walk by themselves


def saved(folder: Path, model: SpatialMemory) -> Path:
    folder.mkdir()
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"system": "permanence", **model.arguments}))
    return folder


@pytest.mark.parametrize("memory", [True, False])
def test_frame_by_frame_is_the_clip_at_once(memory: bool) -> None:
    model = network(memory=memory).eval()
    frames = batch()["frames"][:1]
    with torch.no_grad():
        whole, state = model(frames), None
        for t, frame in enumerate(frames[0]):
            step, state = model.step(frame, state)
            for name, maps in vars(step).items():
                torch.testing.assert_close(maps[:, 0], getattr(whole, name)[:, t])


def test_memory_remembers_and_a_network_without_does_not() -> None:
    first, second = batch(0)["frames"][:1], batch(1)["frames"][:1]
    joined = torch.cat([second[:, :1], first[:, 1:]], dim=1)
    for memory in (True, False):
        model = network(memory=memory).eval()
        with torch.no_grad():
            same = torch.equal(model(first).nodes[:, 1:], model(joined).nodes[:, 1:])
        assert same != memory


def test_hidden_objects_are_where_their_walkers_are() -> None:
    model = network().eval()
    frames = batch()["frames"][0]
    given = [Box(0, 3, 4.0, 6.0, 12.0, 14.0), Box(0, 8, 16.0, 16.0, 22.0, 26.0)]
    found = list(track(frames, given, model, HIDDEN))
    assert found[0] == given
    with torch.no_grad():
        readings = model(frames[None])
        center = cells(torch.tensor([[[8.0, 10.0], [19.0, 21.0]]]))
        radius = model.radius(8, 8)
        affinities = walkers.steps(readings.nodes, radius, model.temperature)
        path = walkers.walk(walkers.start(center, 8, 8), affinities, radius)
    for t in range(1, 5):
        places = walkers.locate(path[:, t])
        for number, box in enumerate(found[t]):
            assert not box.visible and box.frame == t and box.id == given[number].id
            x, y = pixels(places.center[0, number]).tolist()
            assert (box.x0 + box.x1) / 2 == pytest.approx(x, abs=1e-3)
            assert (box.y0 + box.y1) / 2 == pytest.approx(y, abs=1e-3)
            assert box.x1 - box.x0 == pytest.approx(given[number].x1 - given[number].x0, abs=1e-3)


def test_boxes_come_in_the_videos_own_pixels() -> None:
    """What is found in a video shrunk to half its size, in the pixels of the whole."""
    model = network().eval()
    generator = torch.Generator().manual_seed(4)
    large = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    tracker = Tracker(model)
    tracker.start(large[0], [Box(0, 1, 8.5, 12.5, 24.5, 28.5)])
    shrunk = [tracker._resized(frame) for frame in large]
    small = list(track(shrunk, [Box(0, 1, 4.0, 6.0, 12.0, 14.0)], model))
    again = list(track(large, [Box(0, 1, 8.5, 12.5, 24.5, 28.5)], model))
    for mine, theirs in zip(small, again, strict=True):
        for a, b in zip(mine[0].corners, theirs[0].corners, strict=True):
            assert b == pytest.approx(2 * (a + 0.5) - 0.5, abs=1e-3)


def test_corrections_overrule_and_add() -> None:
    model = network().eval()
    frames = batch()["frames"][0]
    fix = [Box(2, 1, 20.0, 20.0, 26.0, 28.0), Box(2, 9, 2.0, 2.0, 8.0, 8.0)]
    found = list(track(frames, [Box(0, 1, 4.0, 6.0, 12.0, 14.0)], model, corrections={2: fix}))
    assert found[2] == fix and [box.id for box in found[3]] == [1, 9]


def test_an_object_may_be_given_in_a_later_frame() -> None:
    model = network().eval()
    frames = batch()["frames"][0]
    late = [Box(2, 9, 2.0, 2.0, 8.0, 8.0)]
    found = list(track(frames, [], model, corrections={2: late}))
    assert found[:3] == [[], [], late] and [box.id for box in found[3]] == [9]
    both = list(track(frames, [Box(0, 1, 4.0, 6.0, 12.0, 14.0)], model, corrections={2: late}))
    assert [box for box in both[4] if box.id == 9] == found[4]


def test_a_hidden_object_rests_where_it_was_seen_while_its_walker_is_near() -> None:
    model = network().eval()
    frames = batch()["frames"][0]
    given = [Box(0, 3, 4.0, 6.0, 12.0, 14.0)]
    resting = list(track(frames, given, model, TrackingConfig(seen=1.0, rest=100.0)))
    walking = list(track(frames, given, model, HIDDEN))
    for found in resting:
        assert found[0].corners == pytest.approx(given[0].corners, abs=1e-3)
    assert walking[4][0].corners != pytest.approx(given[0].corners, abs=1e-3)


@pytest.mark.parametrize(
    ("boxes", "line"),
    [
        ([], "expected at least one box in some frame"),
        ([Box(0, 1, 40.0, 0.0, 44.0, 4.0)], "object 1 in frame 0 is outside the frame"),
        ([Box(0, 1, 0.0, 0.0, 4.0, 4.0)] * 2, "object 1: expected one box in a frame, got two"),
    ],
)
def test_boxes_that_do_not_fit_are_one_line(boxes: list[Box], line: str) -> None:
    with pytest.raises(UserError, match=line):
        list(track(batch()["frames"][0], boxes, network().eval()))


def test_frames_that_do_not_fit_are_one_line() -> None:
    box = [Box(0, 1, 4.0, 6.0, 12.0, 14.0)]
    frames = batch()["frames"][0]
    with pytest.raises(UserError, match="frame 1: expected 32 x 32 pixels as the first"):
        list(track(iter([frames[0], frames[1, :, :16]]), box, network().eval()))
    with pytest.raises(UserError, match="video: expected at least one frame"):
        list(track([], box, network().eval()))
    with pytest.raises(UserError, match="a first frame with boxes before others"):
        Tracker(network().eval()).step(frames[0])


def test_a_single_frame_gives_its_boxes_back() -> None:
    box = [Box(0, 1, 4.0, 6.0, 12.0, 14.0)]
    assert list(track(batch()["frames"][0, :1], box, network().eval())) == [box]


def test_a_run_folder_loads_and_leaves_global_randomness_alone(tmp_path: Path) -> None:
    model = network(memory=False)
    before = torch.get_rng_state()
    found = load(saved(tmp_path / "run", model))
    assert torch.equal(torch.get_rng_state(), before) and not found.training
    assert found.arguments == model.arguments and found.recurrent is None
    mine, theirs = model.state_dict(), found.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("{", "cannot be read"),
        ('{"system": "crw"}', "system: expected 'permanence', got 'crw'"),
        ('{"system": "permanence"}', "expected the network's 'widths' and 'side'"),
        ('{"widths": [4, 8], "side": 32}', "is of another architecture"),
    ],
)
def test_a_damaged_run_is_one_line(config: str, line: str, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", network())
    (run / "config.json").write_text(config)
    with pytest.raises(UserError, match=line):
        load(run)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"expected a config.json in it"):
        load(tmp_path)

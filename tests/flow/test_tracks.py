"""Points followed: along a flow, out of view, behind something and back."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from flow.small import network, texture
from scalable_binding.data.labels import keypoints
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError
from scalable_binding.flow import tracks
from scalable_binding.flow.inference import Flow, encode

SIZE = (48, 64)


@pytest.fixture
def world(monkeypatch):
    """A world whose flow is told: what is hidden in which frame, and how all that is seen moves."""
    told = SimpleNamespace(step=(3.0, 1.0), hidden={}, asked=0)

    def between(before, after, model):
        told.asked += 1
        size = before.size
        flow = torch.tensor(told.step).view(2, 1, 1).expand(2, *size).clone()
        hidden = torch.full(size, told.asked in told.hidden)
        return Flow(flow, hidden, torch.full(size, 0.9 - 0.1 * told.asked))

    monkeypatch.setattr(tracks, "between", between)
    return told


def follow(points, count=5, frames=None):
    frames = frames or [texture(*SIZE, 0)] * count
    return list(tracks.follow(frames, points, network()))


def places(found, number=0):
    return [(round(frame[number].x, 3), round(frame[number].y, 3)) for frame in found]


def test_a_point_goes_along_the_flow(world):
    found = follow([Keypoint(0, 7, 10.0, 20.0)])
    assert places(found) == [(10, 20), (13, 21), (16, 22), (19, 23), (22, 24)]
    assert [one[0].frame for one in found] == [0, 1, 2, 3, 4]
    assert all(one[0].visible and one[0].id == 7 for one in found)
    confidence = [one[0].confidence for one in found]
    assert confidence == pytest.approx([1.0, 0.8, 0.7, 0.6, 0.5])


def test_points_begin_in_their_own_frames(world):
    found = follow([Keypoint(0, 1, 10.0, 20.0), Keypoint(2, 5, 4.0, 4.0)])
    assert [[one.id for one in frame] for frame in found] == [[1], [1], [1, 5], [1, 5], [1, 5]]
    assert places(found[2:], 1) == [(4, 4), (7, 5), (10, 6)]


def test_a_point_that_leaves_the_frame_is_not_visible(world):
    found = follow([Keypoint(0, 1, 58.0, 20.0)])
    assert [one[0].visible for one in found[:3]] == [True, True, False]
    assert found[2][0].confidence == 0 and found[-1][0].x <= SIZE[1] - 1


def test_a_hidden_point_goes_on_until_what_it_looked_like_is_seen_again(world, monkeypatch):
    world.hidden = {2}
    likeness = iter([0.1, 0.1, 0.1, 0.95])
    # Where it was, where it went, and then what is in its place.
    met = iter(torch.eye(2)[[0, 0, 1, 1, 1]])

    def search(states, features, model):
        return states.places + torch.tensor([2.0, 0.0]), torch.tensor([next(likeness)])

    monkeypatch.setattr(tracks, "_search", search)
    monkeypatch.setattr(tracks, "_appearance_at", lambda frame, places: next(met)[None])
    found = [frame[0] for frame in follow([Keypoint(0, 1, 10.0, 20.0)])]
    assert [one.visible for one in found] == [True, True, False, False, True]
    assert (found[2].x, found[2].y) == pytest.approx((13 + 2.7, 21 + 0.9))
    assert found[4].x > found[3].x + 3 and found[4].confidence == pytest.approx(0.95)


def test_a_point_that_looks_as_it_did_is_seen_though_the_way_back_misses_it(world, monkeypatch):
    world.hidden = {1, 2, 3, 4}
    alike = functional.normalize(torch.ones(1, network().encoder.outputs[0].out_channels))
    monkeypatch.setattr(tracks, "_appearance_at", lambda frame, places: alike)
    found = follow([Keypoint(0, 7, 10.0, 20.0)])
    assert places(found) == [(10, 20), (13, 21), (16, 22), (19, 23), (22, 24)]
    assert all(one[0].visible for one in found)


def test_a_point_that_looks_as_it_did_is_found_in_the_window():
    net = network()
    frame = texture(*SIZE, 0)
    encoded = encode(frame, net)
    states = tracks._begin([Keypoint(0, 1, 33.5, 21.5)], encoded)
    elsewhere = replace(states, places=torch.tensor([[29.0, 25.0]]))
    places, likeness = tracks._search(elsewhere, encoded.features[-1], net)
    assert float(likeness) == pytest.approx(1.0, abs=1e-4)
    assert (places - torch.tensor([[33.5, 21.5]])).abs().max() < 6


def test_a_table_of_tracks_is_a_table_of_key_points(tmp_path, world):
    found = follow([Keypoint(0, 1, 58.0, 20.0)], count=3)
    tracks.write(tmp_path / "a.csv", [one for frame in found for one in frame])
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["frame", "id", "x", "y", "visible", "confidence"]
    assert [row["visible"] for row in rows] == ["1", "1", "0"]
    assert [point.frame for point in keypoints.read(tmp_path / "a.csv")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "at least one"),
        ([Keypoint(0, 1, 64.0, 2.0)], "outside the frame"),
        ([Keypoint(0, 1, 1.0, 2.0), Keypoint(1, 1, 2.0, 2.0)], "given twice"),
        ([Keypoint(9, 1, 1.0, 2.0)], "a frame from 0 to 4"),
        ([Keypoint(0, 1, -500.0, 2.0, confidence=0.0)], "to be seen where it begins"),
    ],
)
def test_points_that_cannot_be_followed_are_refused(world, points, said):
    with pytest.raises(UserError, match=said):
        follow(points)


def test_one_frame_is_no_video():
    with pytest.raises(UserError, match="at least two"):
        follow([Keypoint(0, 1, 1.0, 1.0)], count=1)


def test_many_points_go_each_its_own_way():
    frames = [texture(*SIZE, seed) for seed in range(4)]
    points = [Keypoint(number % 3, number, 5.0 + 6 * number, 30.0) for number in range(8)]
    together = follow(points, frames=frames)
    for number in (0, 1, 5):
        alone = follow([points[number]], frames=frames)
        for frame, single in zip(together, alone, strict=True):
            found = [one for one in frame if one.id == number]
            assert [(one.frame, one.visible) for one in found] == [
                (one.frame, one.visible) for one in single
            ]
            for one, other in zip(found, single, strict=True):
                assert (one.x, one.y) == pytest.approx((other.x, other.y), abs=1e-3)

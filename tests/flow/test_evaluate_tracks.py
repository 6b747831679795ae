"""TAP-Vid's protocol on points whose tracks are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flow.small import network
from scalable_binding.errors import UserError
from scalable_binding.flow import evaluate_tracks, tracks
from scalable_binding.flow.evaluate_tracks import TrackCase

COUNT = 5


@pytest.fixture
def followed(monkeypatch):
    """A tracker that says that every point moves three pixels to the right, always seen."""

    def follow(frames, points, model):
        for number, _ in enumerate(frames):
            yield [
                tracks.Track(number, one.id, one.x + 3 * (number - one.frame), one.y, True, 1.0)
                for one in points
                if one.frame <= number
            ]

    monkeypatch.setattr(tracks, "follow", follow)
    monkeypatch.setattr(evaluate_tracks.model, "load", lambda weights: network())


def archive(path, occluded):
    """Two points that move 3 of 256 pixels a frame, in frames of 64 x 128."""
    steps = 3 * np.arange(COUNT) / 256
    points = np.stack([np.stack([0.25 + steps, 0 * steps + 0.5], axis=-1)] * len(occluded))
    video = np.zeros((COUNT, 64, 128, 3), dtype=np.uint8)
    occluded = np.array(occluded)
    np.savez(path, video=video, points=points.astype(np.float32), occluded=occluded)
    return path


def test_the_truth_scores_one(followed, tmp_path):
    path = archive(tmp_path / "a.npz", [[False] * COUNT, [True, True] + [False] * 3])
    found = evaluate_tracks.evaluate_tracks("tap-vid", path)
    assert found["videos"] == 1
    assert found["scores"]["error"] == pytest.approx(0, abs=1e-3)
    assert found["scores"]["average_jaccard"] == 1
    assert found["nothing moves"]["within_2"] == 0
    assert found["nothing moves"]["within_8"] == pytest.approx(4 / 6)


def test_a_point_is_given_where_it_is_first_seen_and_scored_from_the_next_frame(tmp_path):
    hidden = [[True, True, False, False, True], [True] * COUNT]
    (make,) = evaluate_tracks.tap_vid_tracks(archive(tmp_path / "a.npz", hidden))
    case = make()
    assert case.starts.tolist() == [2] and case.frames.shape == (COUNT, 3, 256, 256)
    assert case.scored.tolist() == [[False, False, False, True, True]]
    torch.testing.assert_close(case.points[0, 2], torch.tensor([64 + 6 - 0.5, 127.5]))


def test_saying_seen_of_what_is_hidden_costs(followed, tmp_path):
    path = archive(tmp_path / "a.npz", [[False, False, True, True, False]])
    found = evaluate_tracks.evaluate_tracks("tap-vid", path)["scores"]
    assert found["occlusion_accuracy"] == 0.5 and found["position_accuracy"] == 1
    assert found["average_jaccard"] == pytest.approx(2 / 4)


def test_points_of_scenes_are_seen_where_they_are_given():
    case = evaluate_tracks.synthetic_case(0, num_frames=3)
    assert isinstance(case, TrackCase) and case.visible[:, 0].all()
    assert case.points.shape == (len(case.starts), 3, 2)


@pytest.mark.parametrize(
    ("benchmark", "limit", "said"),
    [("tap-vid", None, "the file of its data"), ("synthetic-tracks", 0, "at least 1")],
)
def test_what_cannot_be_scored_is_told(benchmark, limit, said):
    with pytest.raises(UserError, match=said):
        evaluate_tracks.evaluate_tracks(benchmark, limit=limit)

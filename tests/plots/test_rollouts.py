"""Films of episodes: what is seen above, the way so far below, and the goal."""

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import rollouts, skills
from scalable_binding.plots.rollouts import Episode
from scalable_binding.plots.skills import Plane

PLANE = Plane(size=80)


def episode(positions, *, goal=(400.0, 100.0), shade=200):
    positions = torch.tensor(positions)
    frames = torch.full((len(positions), 3, 20, 20), shade, dtype=torch.uint8)
    colors = skills.plain_colors((250.0, 0.0, 0.0), 1, len(positions))[0]
    return Episode(positions, colors, goal, 50.0, frames)


def test_every_moment_shows_the_view_and_the_way_so_far():
    way = [[50.0, 450.0], [50.0, 50.0], [380.0, 50.0]]
    frames = list(rollouts.film([[episode(way)]], PLANE))
    assert len(frames) == 3
    title = frames[0].shape[1] - 160 - 8
    assert (frames[0][:, title + 10 : title + 70, 20:70] == 200).all()
    maps = [frame[:, -84:-4, 4:84].int() for frame in frames]
    reddish = [(m[0] > 180) & (m[1] < 60) & (m[2] < 60) for m in maps]
    assert not reddish[0][40, 8] and reddish[1][40, 8] and reddish[2][40, 8]
    assert not reddish[1][71, 35] and reddish[2][71, 35]


def test_the_ring_turns_green_once_the_goal_is_reached():
    frames = list(rollouts.film([[episode([[50.0, 450.0], [380.0, 110.0], [50.0, 450.0]])]], PLANE))
    # The leftmost point of the ring around (400, 100).
    x, y = (round(value) for value in PLANE.pixels(torch.tensor([350.0, 100.0])).tolist())
    ring = [frame[:, -84:-4, 4:84][:, y, x].int() for frame in frames]
    assert (ring[0] - torch.tensor(rollouts.GOAL)).abs().max() < 40
    assert torch.equal(ring[1], ring[2]) and ring[1][1] > ring[1][0] + 60


def test_episodes_stand_side_by_side_and_trials_below():
    still = episode([[50.0, 50.0], [60.0, 50.0]])
    one = next(rollouts.film([[still]], PLANE))
    many = next(rollouts.film([[still] * 4] * 2, PLANE, names=["object 1", "object 2"]))
    assert many.shape[2] > 4 * 80 and many.shape[1] > one.shape[1] + 150


def test_without_frames_the_map_stands_alone():
    seen = episode([[50.0, 50.0], [60.0, 50.0]])
    blind = Episode(seen.positions, seen.colors, seen.goal, seen.radius)
    alone, whole = (next(rollouts.film([[one]], PLANE)) for one in (blind, seen))
    assert whole.shape[1] == alone.shape[1] + 80
    assert torch.equal(alone[:, -84:], whole[:, -84:])


def test_mistakes_are_named():
    with pytest.raises(UserError, match="length of the episodes of a film: expected one, got none"):
        next(rollouts.film([], PLANE))
    short, long = episode([[1.0, 1.0]]), episode([[1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(UserError, match="got 1 and 2"):
        next(rollouts.film([[short, long]], PLANE))

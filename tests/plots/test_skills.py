"""Skill maps: places, colors, and whose trajectories are drawn."""

import math

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.plots import skills
from scalable_binding.plots.skills import Plane, Track

RED, BLUE = (250.0, 0.0, 0.0), (0.0, 0.0, 250.0)


def track(*lines, color=RED):
    positions = torch.tensor(lines)
    return Track(positions, skills.plain_colors(color, *positions.shape[:2]))


def reddish(picture):
    red, green, blue = picture.int()
    return (red > 150) & (green < 80) & (blue < 80)


def test_up_in_the_plane_is_up_in_the_map():
    plane = Plane(low=(0.0, 0.0), high=(100.0, 50.0), size=101)
    assert plane.height == 50
    corners = plane.pixels(torch.tensor([[0.0, 0.0], [100.0, 50.0], [0.0, 50.0]]))
    assert corners.tolist() == [[0.0, 49.0], [100.0, 0.0], [0.0, 0.0]]


def test_lines_join_the_positions_of_their_own_component_only():
    plane = Plane(size=101)
    tracks = [track([[50.0, 400.0], [450.0, 400.0]], [[250.0, 50.0], [250.0, 450.0]])]
    maps = skills.skill_maps(tracks, torch.tensor([0, 2]), 3, plane)
    assert maps.shape == (3, 3, 101, 101)
    level, none, upright = (reddish(picture) for picture in maps)
    assert level[20, 15:86].all() and level.sum() < 450
    assert upright[15:86, 50].all() and upright.sum() < 450
    assert not none.any()


def test_crossing_lines_mix_and_the_last_track_is_on_top():
    lines = [[50.0, 250.0], [450.0, 250.0]], [[250.0, 50.0], [250.0, 450.0]]
    colors = torch.tensor([RED, BLUE])[:, None].expand(2, 2, 3)
    mixed = Track(torch.tensor(lines), colors)
    picture = skills.skill_maps([mixed], torch.zeros(2).long(), 1, Plane(size=101))[0]
    assert picture[:, 50, 50].tolist() == pytest.approx([125, 0, 125], abs=20)
    over = [track(lines[0]), track(lines[1], color=BLUE)]
    picture = skills.skill_maps(over, torch.zeros(1).long(), 1, Plane(size=101))[0]
    assert picture[2, 50, 50] > 200 > 60 > picture[0, 50, 50]


def test_objects_are_white_dots_and_walls_are_drawn():
    plane = Plane(places=((100.0, 100.0),), walls=((250.0, 250.0, 450.0, 250.0),), size=101)
    picture = skills.skill_maps([track([[1.0, 1.0], [2.0, 2.0]])], torch.zeros(1).long(), 1, plane)
    assert (picture[0, :, 80, 20] == 255).all()
    assert (picture[0, :, 50, 60:85] > 120).all() and (picture[0, :, 50, 30] < 50).all()


def test_shares_and_nothing_else_differ_for_empty_components():
    plane = Plane(size=60)
    still = [track([[250.0, 250.0], [250.0, 250.0]])]
    maps = skills.skill_maps(still, torch.tensor([1]), 3, plane)
    assert torch.equal(maps[0], maps[2]) and not torch.equal(maps[0], maps[1])


def test_headings_have_colors_of_one_circle():
    headings = torch.linspace(-math.pi, math.pi, 361)
    colors = skills.heading_colors(headings)
    assert torch.allclose(colors[0], colors[-1], atol=1e-2)
    assert colors.diff(dim=0).abs().amax() < 5
    ring = skills.heading_colors(torch.arange(4) * math.pi / 2)
    assert (torch.cdist(ring, ring) + 1000 * torch.eye(4)).min() > 100
    assert ring[0].tolist() == pytest.approx([255, 25.5, 25.5])
    legend = skills.compass(61)
    for k, (row, column) in enumerate([(30, 49), (11, 30), (30, 11), (49, 30)]):
        assert torch.allclose(legend[:, row, column].float(), ring[k], atol=12)


def test_times_run_from_blue_to_yellow():
    colors = skills.time_colors(3, 9)
    assert colors.shape == (3, 9, 3) and torch.equal(colors[0], colors[2])
    assert colors[0, 0, 2] > 200 > colors[0, 0, 0] and colors[0, -1, 0] > 200 > colors[0, -1, 2]


def test_rounds_are_rows_with_names():
    maps = torch.zeros(4, 3, 20, 20, dtype=torch.uint8)
    picture = skills.evolution([maps, maps, maps], ["round 1", "round 2", "round 3"])
    assert picture.shape[1] >= 60 and picture.shape[2] >= 80
    with pytest.raises(UserError, match="names of rows"):
        skills.evolution([maps], ["a", "b"])


def test_mistakes_are_named():
    with pytest.raises(UserError, match="expected low < high"):
        Plane(low=(0.0, 5.0), high=(1.0, 5.0))
    with pytest.raises(UserError, match="trajectories of skill maps: expected 2, got 1"):
        skills.skill_maps([track([[1.0, 1.0]])], torch.tensor([0, 1]), 2, Plane())
    with pytest.raises(UserError, match="got none"):
        skills.skill_maps([], torch.tensor([0]), 1, Plane())

"""Frames made of ready columns look like frames traced ray by ray."""

import math

import pytest
import torch

from reference.raycast import look
from scalable_binding.envs import sprites
from scalable_binding.envs.layouts import FIXED_KINDS, FIXED_PLACES, SIDE
from scalable_binding.envs.raycast import Camera, Eyes, level_depths, nearest_level

POSES = [(250.0, 470.0, -math.pi / 2), (420.0, 230.0, 2.4)]


def shoot(camera, poses, objects=FIXED_PLACES, pictures=range(5)):
    pose = torch.tensor(poses)
    count = len(poses)
    eyes = Eyes(
        pose[:, :2],
        pose[:, 2],
        torch.tensor(objects).expand(count, -1, 2),
        torch.tensor(list(pictures)).expand(count, -1),
    )
    return camera.shoot(eyes)


def test_frames_are_those_of_single_rays():
    camera = Camera(24, SIDE, FIXED_KINDS)
    frames = shoot(camera, POSES).float()
    for frame, (x, y, heading) in zip(frames, POSES, strict=True):
        traced = look((x, y), heading, list(FIXED_PLACES), list(FIXED_KINDS), 24, SIDE, 2)
        # Columns have one ray each and depths go in steps, so edges may move by a pixel or so.
        close = ((frame - traced).abs() < 16).float().mean()
        assert close > 0.87
        turned = (frame.flip(-1) - traced).abs() < 16
        assert close > turned.float().mean() + 0.1


def test_an_object_ahead_is_in_the_middle_and_grows_when_nearer():
    camera = Camera(42, SIDE, (0,))
    widths = []
    for distance in (300.0, 150.0, 75.0):
        there = shoot(camera, [(100.0, 250.0, 0.0)], [(100.0 + distance, 250.0)], [0])[0].int()
        empty = shoot(camera, [(100.0, 250.0, 0.0)], [(20.0, 250.0)], [0])[0].int()
        columns = (there != empty).any(0).any(0).nonzero()[:, 0]
        assert abs(columns.float().mean() - 20.5) <= 0.5
        widths.append(len(columns))
    expected = [72 * 21 / distance for distance in (300.0, 150.0, 75.0)]
    assert torch.allclose(torch.tensor(widths).float(), torch.tensor(expected), atol=1.6)


def test_the_nearer_object_hides_the_other_whatever_their_order():
    camera = Camera(42, SIDE, (1, 31))
    places = [(200.0, 250.0), (300.0, 250.0)]
    near_first = shoot(camera, [(100.0, 250.0, 0.0)], places, [0, 1])
    far_first = shoot(camera, [(100.0, 250.0, 0.0)], places[::-1], [1, 0])
    assert torch.equal(near_first, far_first)
    alone = shoot(camera, [(100.0, 250.0, 0.0)], [places[0], (20.0, 250.0)], [0, 1])
    assert torch.equal(near_first[..., 24:32, 21], alone[..., 24:32, 21])


def test_turning_by_half_a_turn_shows_the_opposite_wall():
    camera = Camera(24, SIDE, (0,))
    frames = shoot(camera, [(250.0, 250.0, k * math.pi / 2) for k in range(4)], [(5.0, 5.0)], [0])
    means = frames[:, :, 8:14, 6:18].float().mean((2, 3))
    assert (torch.cdist(means, means) + 1000 * torch.eye(4)).min() > 20


def test_levels_come_near_to_every_depth():
    depths = torch.linspace(13, 700, 500)
    nearest = level_depths(144)[nearest_level(depths, 144)]
    assert ((nearest / depths).log().abs() < 0.0145).all()


def test_a_batch_is_its_single_frames():
    camera = Camera(24, SIDE, FIXED_KINDS)
    together = shoot(camera, POSES)
    for number, pose in enumerate(POSES):
        assert torch.equal(together[number], shoot(camera, [pose])[0])


def test_a_hundred_kinds_are_all_different_and_halved():
    train, held_out = sprites.kinds("train"), sprites.kinds("held_out")
    assert sorted([*train.tolist(), *held_out.tolist()]) == list(range(100))
    for half in (train, held_out):
        assert set((half % 10).tolist()) == set((half // 10).tolist()) == set(range(10))
    pictures = torch.stack([sprites.render(kind) for kind in range(100)]).float()
    small = torch.nn.functional.avg_pool2d(pictures, 8).flatten(1)
    distance = torch.cdist(small, small) + 1e6 * torch.eye(100)
    assert distance.amin() > 60
    covered = (pictures[:, 3] > 127).float().mean((1, 2))
    assert covered.amin() > 0.15 and covered.amax() < 0.9


@pytest.mark.parametrize("size", [24, 42, 84])
def test_every_size_shows_the_same_scene(size):
    frame = shoot(Camera(size, SIDE, FIXED_KINDS), POSES[1:2]).float()
    small = torch.nn.functional.interpolate(frame, (12, 12), mode="area")
    exact = shoot(Camera(96, SIDE, FIXED_KINDS), POSES[1:2]).float()
    exact = torch.nn.functional.interpolate(exact, (12, 12), mode="area")
    assert (small - exact).abs().mean() < 8

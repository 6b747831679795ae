from dataclasses import replace

import numpy as np
import pytest
import torch

from scalable_binding.data.synthetic import WorldConfig, frames, noiseless
from scalable_binding.data.synthetic.painting import surface_at, surfaces
from scalable_binding.data.synthetic.world import build, place
from scalable_binding.errors import UserError

SMALL = WorldConfig(height=64, width=80, num_frames=3)


def test_same_seed_same_frames_and_global_randomness_untouched():
    before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    first = frames(SMALL, 5)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]  # noqa: NPY002
    frames(SMALL, 6)
    assert torch.equal(first, frames(SMALL, 5))
    assert not torch.equal(first, frames(SMALL, 6))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 71), (128, 20), (240, 427)])
def test_any_size(height, width):
    clip = frames(replace(SMALL, height=height, width=width), 0)
    assert clip.shape == (3, 3, height, width)
    assert clip.dtype == torch.uint8


def test_a_longer_clip_starts_like_a_short_one():
    long = frames(replace(SMALL, num_frames=12, noise=0.0), 3)
    assert torch.equal(long[:3], frames(replace(SMALL, noise=0.0), 3))


def test_time_step_sets_the_frame_rate():
    config = replace(SMALL, noise=0.0)
    every = frames(replace(config, num_frames=5), 3)
    assert torch.equal(every[::2], frames(replace(config, time_step=2.0), 3))
    still = frames(replace(config, time_step=0.0), 3)
    assert torch.equal(still, every[:1].expand_as(still))


def test_the_same_shapes_at_every_size():
    for seed in range(3):
        shown = []
        for factor in (1, 4):
            world = build(replace(SMALL, height=64 * factor, width=80 * factor), seed)
            shown.append(surfaces(world, place(world, world.times), 2))
        small, large = shown
        assert (small == large[2::4, 2::4]).float().mean() > 0.94
        assert len(small.unique()) > 3


def test_empty_scene():
    config = replace(SMALL, num_objects=(0, 0), num_scenery=(0, 0))
    assert frames(config, 0).shape == (3, 3, 64, 80)


@pytest.mark.parametrize("seed", range(4))
def test_pixels_show_what_the_points_at_their_centers_show(seed):
    world = build(SMALL, seed)
    placements = place(world, torch.tensor([0.0, 2.0], dtype=torch.float64))
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    for index in range(2):
        points = surface_at(placements, index, (x, y))
        assert (surfaces(world, placements, index) != points).sum() <= 2  # rounding at an outline


def test_motion_blur_softens_what_moves():
    still = replace(noiseless(size=96), speed=(0.05, 0.06), camera_speed=0.05)
    blurred = replace(still, motion_blur=1.0, blur_rate=1.0)

    def sharpness(config):
        clips = torch.stack([frames(config, seed) for seed in range(4)]).float()
        return clips.diff(dim=-1).abs().mean()

    assert sharpness(blurred) < 0.95 * sharpness(still)


def test_light_and_noise_change_the_frames():
    quiet = replace(SMALL, light=0.0, noise=0.0, shadow=0.0)
    plain = frames(quiet, 2).float()
    for change in ({"light": 1.0}, {"noise": 0.1}, {"shadow": 1.0}):
        assert (frames(replace(quiet, **change), 2).float() - plain).abs().mean() > 0.005


def test_negative_seed():
    with pytest.raises(UserError, match="seed"):
        frames(SMALL, -1)

"""Moving digits: pure in the index, true to their positions, masks exact."""

import numpy as np
import pytest
import torch

from scalable_binding.data.datasets import digits, moving_digits
from scalable_binding.data.datasets.moving_digits import MovingDigits, MovingDigitsConfig
from scalable_binding.errors import UserError


def test_items_are_pure_in_seed_and_index():
    dataset = MovingDigits(MovingDigitsConfig(num_frames=5), seed=2)
    item = dataset[7]
    assert item["video"].shape == (1, 5, 32, 32) and item["video"].dtype == torch.uint8
    assert set(item) == {"video", "index"} and item["index"] == 7
    assert torch.equal(MovingDigits(dataset.config, seed=2)[7]["video"], item["video"])
    for other in (dataset[8], MovingDigits(dataset.config, seed=3)[7]):
        assert not torch.equal(other["video"], item["video"])
    held_out = MovingDigits(dataset.config, "held_out", seed=2)[7]
    assert not torch.equal(held_out["video"], item["video"])


def test_outside_the_masks_nothing_changes_and_inside_ink_shows():
    dataset = MovingDigits(MovingDigitsConfig(background=0.4))
    for index in range(20):
        scene = dataset.scene(index)
        video, masks = scene.video[0].int(), scene.masks
        assert torch.equal(dataset.masks(index), masks)
        background = video.amin(dim=0)
        never = ~masks.any(dim=0)
        assert (video == background)[:, never].all()
        assert masks.any(dim=(1, 2)).all() and 0.02 < masks.float().mean() < 0.3
        assert video[masks].float().mean() > video[~masks].float().mean() + 60


def test_digits_go_straight_and_bounce_inside_the_frame():
    config = MovingDigitsConfig(num_frames=80, speed=(1.0, 1.5))
    scene = MovingDigits(config).scene(1)
    assert scene.positions.min() >= 0 and scene.positions.max() <= config.room
    steps = scene.positions.diff(dim=0)
    speed = torch.linalg.vector_norm(scene.velocities, dim=-1)
    assert ((speed >= 1.0 - 1e-5) & (speed <= 1.5 + 1e-5)).all()
    straight = (steps.abs() - scene.velocities.abs()).abs() < 1e-4
    assert straight.float().mean() > 0.8 and not straight.all()


def test_bounces_are_those_of_a_ball():
    config = MovingDigitsConfig(num_frames=50)
    start, velocity = np.array([[3.0, 18.0]]), np.array([[-1.3, 0.7]])
    expected, place = [], start.copy()
    for _ in range(config.num_frames):
        expected.append(place.copy())
        place = place + velocity
        for axis in range(2):
            if place[0, axis] < 0:
                place[0, axis], velocity[0, axis] = -place[0, axis], -velocity[0, axis]
            if place[0, axis] > config.room:
                place[0, axis] = 2 * config.room - place[0, axis]
                velocity[0, axis] *= -1
    start, velocity = np.array([[3.0, 18.0]]), np.array([[-1.3, 0.7]])
    np.testing.assert_allclose(moving_digits.bounce(start, velocity, config), np.stack(expected))


def test_a_digit_at_whole_pixels_is_the_image_itself():
    config = MovingDigitsConfig(magnification=1.0, size=20)
    image = digits.load("train")[0][3, 0].float() / 255
    corners = torch.tensor([[5.0, 9.0], [0.0, 12.0], [5.5, 9.0]])
    first, last, between = moving_digits.place(image, corners, config)
    assert torch.allclose(first[9:17, 5:13], image) and first.sum() == pytest.approx(image.sum())
    assert torch.allclose(last[12:20, 0:8], image)
    assert torch.allclose(between[9:17, 6:13], (image[:, :-1] + image[:, 1:]) / 2, atol=1e-6)


def test_the_number_of_digits_is_drawn_from_its_range():
    dataset = MovingDigits(MovingDigitsConfig(num_digits=(1, 3), num_frames=1))
    counts = [len(dataset.scene(index).labels) for index in range(60)]
    assert set(counts) == {1, 2, 3}


def test_settings_are_checked():
    for bad in (
        {"num_frames": 0},
        {"size": 12},
        {"num_digits": (0, 1)},
        {"num_digits": (3, 2)},
        {"speed": (2.0, 1.0)},
        {"background": 1.5},
        {"magnification": 0.0},
    ):
        with pytest.raises(UserError, match=f"moving digits, {next(iter(bad))}: expected"):
            MovingDigitsConfig(**bad)
    with pytest.raises(UserError, match="seed"):
        MovingDigits(seed=-1)
    with pytest.raises(IndexError):
        MovingDigits().scene(-1)

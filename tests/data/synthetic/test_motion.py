import numpy as np
import pytest
import torch

from scalable_binding.data.synthetic import motion
from scalable_binding.data.synthetic.config import WorldConfig


def test_swing_is_never_faster_than_asked():
    rng = np.random.default_rng(0)
    swing = motion.draw_swing(rng, amplitude=0.5, rate=0.2, shape=(20,), offset=1.0)
    values = swing(torch.linspace(0, 300, 30001, dtype=torch.float64))
    assert values.shape == (30001, 20)
    assert (values - 1).abs().max() <= 0.5 + 1e-9
    assert values.diff(dim=0).abs().max() / 0.01 <= 0.5 * 0.2 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_wander_moves_within_the_speed_and_stays_near_the_view(seed):
    config = WorldConfig(speed=(0.01, 0.05))
    poses = motion.wander(np.random.default_rng(seed), config, 6)(
        torch.arange(0, 200, 0.5, dtype=torch.float64)
    )
    steps = poses.center.diff(dim=0).norm(dim=-1) / 0.5
    assert steps.max() < 0.05 * 2.5  # the pace changes by .8, and roaming has two axes
    assert steps.max(dim=0).values.min() > 0
    assert poses.center.abs().max() < 0.5 * 0.9 + 0.3 + 1e-9
    assert poses.depth[0].unique().numel() == 6


def test_choreography_is_a_function_of_time_alone():
    move = motion.wander(np.random.default_rng(1), WorldConfig(), 3)
    times = torch.tensor([3.0, 7.25], dtype=torch.float64)
    together, alone = move(times), move(times[1:])
    torch.testing.assert_close(together.center[1:], alone.center)
    torch.testing.assert_close(together.scale[1:], alone.scale)


def test_camera_that_follows_moves_with_its_object():
    config = WorldConfig(follow_rate=1.0, camera_speed=0.0)
    move = motion.wander(np.random.default_rng(2), config, 2)
    times = torch.arange(50, dtype=torch.float64)
    view = motion.draw_camera(np.random.default_rng(3), config, move)(times)
    moved, path = view.center.diff(dim=0), move(times).center[:, 0].diff(dim=0)
    share = (moved / path).mean()
    assert 0.5 <= share <= 0.9
    torch.testing.assert_close(moved, share * path)


def test_camera_of_an_empty_scene():
    config = WorldConfig(follow_rate=1.0)
    move = motion.wander(np.random.default_rng(2), config, 0)
    times = torch.zeros(1, dtype=torch.float64)
    assert motion.draw_camera(np.random.default_rng(3), config, move)(times).center.shape == (1, 2)

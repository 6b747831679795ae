"""The maze: moves, walls, episodes, and continuing exactly."""

import numpy as np
import pytest
import torch

from reference.walls import creep
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.maze import SIDE, Maze, MazeConfig
from scalable_binding.envs.walls import LAYOUTS, Walls
from scalable_binding.errors import UserError


def test_eight_directions_and_staying_move_by_the_speed():
    env = Maze(MazeConfig(start=(0.5, 0.5), speed=20.0), num_envs=9)
    env.reset()
    env.step(torch.arange(9))
    moved = env.ground_truth()["position"] - SIDE / 2
    expected = [(20 * np.cos(k * np.pi / 4), 20 * np.sin(k * np.pi / 4)) for k in range(8)]
    assert torch.allclose(moved, torch.tensor([*expected, (0.0, 0.0)]).float(), atol=1e-4)


def test_an_observation_is_the_scaled_position():
    env = Maze(MazeConfig(start=(0.25, 0.9), actions="continuous"), num_envs=2)
    assert isinstance(env, BatchEnv)
    assert torch.allclose(env.reset(), torch.tensor([[-0.5, 0.8]] * 2))
    step = env.step(torch.tensor([[0.5, 0.0], [9.0, -9.0]]))
    speed = 2 * env.config.speed / SIDE
    expected = torch.tensor([[-0.5 + speed / 2, 0.8], [-0.5 + speed, 0.8 - speed]])
    assert torch.allclose(step.observation, expected)
    assert env.observation_space.contains(step.observation[0].numpy())


def test_an_episode_ends_and_then_nothing_moves():
    env = Maze(MazeConfig(episode_length=3), num_envs=2)
    env.reset()
    steps = [env.step(torch.tensor([2, 0])) for _ in range(5)]
    assert [bool(step.done.all()) for step in steps] == [False, False, True, True, True]
    assert torch.equal(steps[2].observation, steps[4].observation)
    assert not torch.equal(steps[1].observation, steps[2].observation)
    assert all((step.reward == 0).all() for step in steps)
    assert torch.equal(env.reset(), Maze(env.config, 2).reset())


@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_bodies_slide_along_walls_as_small_steps_do(layout):
    generator = torch.Generator().manual_seed(1)
    walls, radius = Walls(LAYOUTS[layout], SIDE), 5.0
    segments = [tuple(SIDE * share for share in wall) for wall in LAYOUTS[layout]]
    position = radius + (SIDE - 2 * radius) * torch.rand(30, 2, generator=generator)
    free = [all(not _inside(p, wall, radius) for wall in segments) for p in position.tolist()]
    position = position[free]
    move = 160 * (torch.rand(position.shape, generator=generator) - 0.5)
    ends = walls.slide(position, move, radius)
    expected = [
        creep(tuple(p), tuple(m), segments, SIDE, radius)
        for p, m in zip(position.tolist(), move.tolist(), strict=True)
    ]
    assert torch.allclose(ends, torch.tensor(expected), atol=0.05)
    if layout != "open":
        assert (ends - position - move).abs().amax() > 1


def _inside(center, wall, radius):
    low = [min(wall[0], wall[2]) - radius, min(wall[1], wall[3]) - radius]
    high = [max(wall[0], wall[2]) + radius, max(wall[1], wall[3]) + radius]
    return all(a < c < b for a, c, b in zip(low, center, high, strict=True))


def test_no_walk_ever_crosses_a_wall():
    generator = torch.Generator().manual_seed(2)
    wall = (0.0, 0.5, 1.0, 0.5)
    env = Maze(MazeConfig(walls=(wall,), episode_length=300, speed=90.0), num_envs=50)
    env.reset()
    reach = torch.zeros(50)
    for _ in range(300):
        env.step(torch.randint(9, (50,), generator=generator))
        reach = reach.maximum(env.ground_truth()["position"][:, 1])
    assert reach.amax() <= SIDE / 2 - 5 and reach.amax() > SIDE / 2 - 6
    assert env.ground_truth()["position"].amin() >= 5


def test_chance_comes_from_the_seed_and_a_state_continues_exactly():
    config = MazeConfig(noise=8.0)
    actions = torch.arange(4) * 2
    one, same, other = Maze(config, 4, 5), Maze(config, 4, 5), Maze(config, 4, 6)
    for env in (one, same, other):
        env.reset()
    assert torch.equal(one.step(actions).observation, same.step(actions).observation)
    assert not torch.equal(one.step(actions).observation, other.step(actions).observation)
    state = one.state_dict()
    expected = [one.step(actions) for _ in range(19)]
    other.load_state_dict(state)
    found = [other.step(actions) for _ in range(19)]
    for a, b in zip(expected, found, strict=True):
        assert torch.equal(a.observation, b.observation) and torch.equal(a.done, b.done)


@pytest.mark.parametrize(
    "bad",
    [
        {"episode_length": 0},
        {"speed": 0.0},
        {"start": (0.0, 0.5)},
        {"radius": 0.0},
        {"noise": -1.0},
    ],
)
def test_settings_are_checked(bad):
    with pytest.raises(UserError, match=f"maze, {next(iter(bad))}: expected"):
        MazeConfig(**bad)


def test_walls_run_along_an_axis_inside_the_square():
    with pytest.raises(UserError, match="x0 = x1 or y0 = y1"):
        Maze(MazeConfig(walls=((0.1, 0.1, 0.5, 0.2),)))
    with pytest.raises(UserError, match="from 0 to 1"):
        Maze(MazeConfig(walls=((0.1, 0.1, 1.5, 0.1),)))
    with pytest.raises(UserError, match="num_envs"):
        Maze(num_envs=0)
    with pytest.raises(UserError, match="seed"):
        Maze(seed=-1)

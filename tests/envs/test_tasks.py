"""Test tasks: rewards, success, and splits that do not meet."""

import pytest
import torch

from scalable_binding.envs import registry
from scalable_binding.envs.tasks import Task, TaskBatch
from scalable_binding.errors import UserError


def test_rewards_of_points_follow_the_distance():
    position = torch.tensor([[0.0, 0.0], [30.0, 40.0], [300.0, 400.0]])
    inverse = Task(goal=(0.0, 0.0), radius=25.0)
    assert inverse.reward({"position": position}).tolist() == pytest.approx([1.0, 0.5, 0.05])
    assert inverse.success({"position": position}).tolist() == [True, False, False]
    negative = Task(goal=(0.0, 0.0), shape="negative", unit=100.0)
    assert torch.allclose(negative.reward({"position": position}), torch.tensor([0.0, -0.5, -5.0]))


def test_a_batch_gives_every_environment_its_own_goal():
    batch = TaskBatch((Task(goal=(10.0, 0.0)), Task(target=1), Task(target=0)))
    truth = {
        "position": torch.zeros(3, 2),
        "objects": torch.tensor([[[1.0, 1.0], [2.0, 2.0]]] * 3) * torch.arange(3)[:, None, None],
    }
    goals = [[10.0, 0.0], [2.0, 2.0], [2.0, 2.0]]
    assert batch.goals(truth).tolist() == goals
    assert torch.allclose(batch.distance(truth), torch.tensor(goals).norm(dim=-1))
    for number, task in enumerate(batch.tasks):
        alone = task.reward({name: value[number, None] for name, value in truth.items()})
        assert batch.reward(truth)[number] == alone


def test_whole_trajectories_are_rewarded_at_once():
    generator = torch.Generator().manual_seed(0)
    truth = {
        "position": 500 * torch.rand(4, 3, 6, 2, generator=generator),
        "objects": 500 * torch.rand(4, 3, 6, 5, 2, generator=generator),
    }
    batch = TaskBatch(tuple(Task(target=k) for k in (0, 4, 2, 2)))
    rewards = batch.reward(truth)
    assert rewards.shape == (4, 3, 6)
    step = {name: value[:, 1, 5] for name, value in truth.items()}
    assert torch.equal(rewards[:, 1, 5], batch.reward(step))
    assert batch.select([1]).reward(truth).shape == (4, 3, 6)


@pytest.mark.parametrize("name", ["maze", "room", "vizdoom-random", "sawyer"])
def test_tasks_are_drawn_from_the_generator_alone(name):
    draws = [
        registry.sample_tasks(name, 30, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    ]
    assert draws[0] == draws[1] != draws[2] and len(draws[0]) == 30


def test_splits_of_points_are_far_from_the_start_and_apart():
    generator = torch.Generator().manual_seed(0)
    cells = {}
    for split in ("train", "validation", "test"):
        batch = registry.sample_tasks("maze", 400, generator, split)
        points = torch.tensor([task.goal for task in batch.tasks])
        assert (points - torch.tensor([250.0, 20.0])).norm(dim=-1).amin() >= 100
        assert points.amin() >= 30 and points.amax() <= 470
        cells[split] = {tuple(c) for c in ((points - 30) / 44).long().clamp(max=9).tolist()}
    assert not cells["train"] & (cells["test"] | cells["validation"])
    assert not cells["test"] & cells["validation"]
    assert len(cells["test"]) >= 17 and len(cells["train"]) >= 50


def test_options_may_come_from_text():
    env = registry.make("maze", 2, speed=20, start=[0.5, 0.5], walls=[[0, 0.5, 1, 0.5]])
    assert env.config.speed == 20.0 and env.config.walls == ((0.0, 0.5, 1.0, 0.5),)


def test_chance_seldom_reaches_a_goal_of_the_maze():
    generator = torch.Generator().manual_seed(0)
    env = registry.make("maze", 1000)
    batch = registry.sample_tasks("maze", 1000, generator)
    env.reset()
    hit = torch.zeros(1000, dtype=torch.bool)
    for _ in range(env.episode_length):
        env.step(torch.randint(9, (1000,), generator=generator))
        hit |= batch.success(env.ground_truth())
    assert 0.005 < hit.float().mean() < 0.07


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Task(), "a goal or a target"),
        (lambda: Task(goal=(0.0, 0.0), target=1), "a goal or a target"),
        (lambda: Task(target=-1), "at least 0"),
        (lambda: Task(target=1, radius=0.0), "above 0"),
        (lambda: TaskBatch(()), "at least 1 task"),
        (lambda: TaskBatch((Task(target=1), Task(target=1, radius=3.0))), "one shape"),
        (lambda: registry.sample_tasks("chess", 1, torch.Generator()), "maze, room"),
        (lambda: registry.sample_tasks("maze", 0, torch.Generator()), "at least 1"),
        (lambda: Task(target=1).reward({"position": torch.zeros(1, 2)}), "one of 0 objects"),
        (lambda: Task(goal=(0.0, 0.0)).reward({}), "expected position, got nothing"),
        (
            lambda: TaskBatch((Task(target=1),) * 3).reward({"position": torch.zeros(2, 2)}),
            "3 environments",
        ),
        (lambda: registry.make("chess", 1), "maze"),
        (lambda: registry.make("maze", 1, wall=3), "layout, walls"),
        (lambda: registry.make("maze", 1, speed="fast"), "maze, speed: expected a number"),
        (lambda: registry.make("room", 1, size=24.5), "room, size: expected a whole number"),
        (lambda: registry.make("maze", 1, walls=3), "maze, walls: expected numbers"),
    ],
)
def test_mistakes_are_named(make, line):
    with pytest.raises(UserError, match=line):
        make()

"""Scores of agents, and what their skills look like from above."""

import math

import pytest
import torch

from carml import runs
from scalable_binding.carml import evaluate, inference, skills, train
from scalable_binding.carml.config import EnvironmentConfig
from scalable_binding.carml.model import init_policy
from scalable_binding.carml.task_rewards import ZERO, TaskReward, parse, sample_tasks
from scalable_binding.engine.randomness import generator
from scalable_binding.envs.maze import Maze
from scalable_binding.envs.room import Room
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.make(tmp_path_factory.mktemp("runs") / "run")


def test_interval_covers_the_true_mean_as_often_as_it_says():
    generator, inside = torch.Generator().manual_seed(0), 0
    for _ in range(400):
        score = evaluate.interval(3 + torch.randn(40, generator=generator))
        inside += abs(score.mean - 3) <= score.margin
    assert 0.92 < inside / 400 < 0.98
    assert math.isnan(evaluate.interval(torch.ones(1)).margin)


def test_transfer_scores_every_episode(run):
    config, policy = inference.read_config(run), inference.load(run)
    found = evaluate.transfer(policy, config, num_tasks=30)
    assert len(found.success) == len(found.returns) == 2
    again = evaluate.transfer(policy, config, num_tasks=30)
    assert found == again
    assert found.record()["success"] == [score.mean for score in found.success]


def test_untrained_acts_at_random(run):
    policy = inference.load(run)
    blind = evaluate.untrained(policy)
    zeros = (torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), torch.zeros(4))
    state = blind.initial_state(4)
    act = blind.act(*zeros, torch.zeros(4, dtype=torch.bool), state, torch.Generator())
    assert torch.allclose(act.log_probs, torch.full((4,), -math.log(9)))
    assert not torch.equal(policy.actor[-1].weight, blind.actor[-1].weight)


def test_untrained_vectors_are_as_wide_as_before_training():
    policy = init_policy(
        0, observation=(2,), actions=2, continuous=True, widths=(), hidden=8, head=8
    )
    begun = policy.actions.log_std.clone()
    policy.actions.log_std.data.fill_(-3.0)
    assert torch.equal(evaluate.untrained(policy).actions.log_std, begun)
    assert policy.actions.log_std.tolist() == [-3.0, -3.0]


def test_environment_without_test_tasks_is_refused(run):
    policy = inference.load(run)
    with pytest.raises(UserError, match="test tasks"):
        evaluate.transfer(policy, runs.small(environment__name="CartPole-v1"), num_tasks=4)


def test_skills_of_each_round(run):
    for number in (1, 2, None):
        found = skills.rollout_round(run, number, num_trials=32)
        assert found.positions.shape == (32, 20, 2)
        assert 0 < found.figures["coverage"] <= 1
        assert 0 <= found.figures["information"] <= math.log(4)
        assert 1 <= found.figures["tasks_in_use"] <= 4


def test_skills_of_a_discriminator(tmp_path):
    run = runs.make(tmp_path / "run", method="online-discriminator")
    found = skills.rollout_round(run, num_trials=16)
    assert int(found.tasks.max()) < 4


def test_curve_counts_environment_steps(run):
    samples, values = skills.curve(run, "loss")
    assert samples == [8 * 2 * 20 * step for step in (1, 2, 3)]
    assert len(values) == 3
    with pytest.raises(UserError, match="figures named nothing, got none"):
        skills.curve(run, "nothing")


def test_controls_are_scored_on_the_same_tasks(run):
    found = evaluate.compare(run, num_tasks=12)
    assert list(found) == ["agent", "random", "swapped", "zero"]
    assert all(each.reached.shape == (12, 2) for each in found.values())
    same = evaluate.difference(found["agent"], found["agent"])
    assert same.mean == 0 and same.margin == 0


def test_an_oracle_beside_a_run_is_scored_too(run, tmp_path):
    oracle = runs.make(tmp_path / "oracle", method="oracle")
    assert "oracle" in evaluate.compare(run, num_tasks=4, oracle=oracle)


def test_swapped_tasks_are_others():
    env = Room(num_envs=60)
    step, truth = env.step(torch.full((60,), 2)), env.ground_truth()
    settings = EnvironmentConfig(name="room")
    tasks = sample_tasks(settings, 60, generator(4, evaluate.PLACE, 0))
    swapped = evaluate.swap(settings, 60, 4, "test")
    assert not (tasks.reward_fn(step, truth) == swapped.reward_fn(step, truth)).any()
    with pytest.raises(UserError, match="at least two different ones"):
        evaluate.swap(settings, 1, 0, "test")


OWN_TASKS = """
import torch

def sample_tasks(num, generator, split):
    sign = torch.where(torch.rand(num, generator=generator) < 0.5, -1.0, 1.0)
    goal = {"train": 0.2, "validation": 0.4, "test": 0.6}[split]
    def reward(observation, truth):
        return -(observation[:, 0] - sign * goal).abs()
    def success(observation, truth):
        return (observation[:, 0] - sign * goal).abs() < 0.1
    return reward, success
"""


def test_tasks_of_a_user_s_file_validate_score_and_train(tmp_path):
    file = tmp_path / "pole_tasks.py"
    file.write_text(OWN_TASKS)
    changes = {
        "environment__name": "CartPole-v1",
        "environment__options": ("episode_length=6",),
        "environment__tasks": str(file),
        "validation__every": 2,
        "validation__num_tasks": 4,
    }
    run = runs.make(tmp_path / "run", **changes)
    assert "solved_2" in (run / "log.jsonl").read_text()
    found = evaluate.compare(run, num_tasks=6)
    assert found["agent"].returns[0].mean < 0
    assert found["swapped"].reached.shape == (6, 2)
    train.finetune(run, tmp_path / "out", updates=1)
    assert "solved_last" in (tmp_path / "out" / "log.jsonl").read_text()


def test_files_without_tasks_are_refused(tmp_path):
    file = tmp_path / "empty_tasks.py"
    file.write_text("")
    with pytest.raises(UserError, match=r"a function sample_tasks\(num, generator, split\)"):
        sample_tasks(EnvironmentConfig(tasks=str(file)), 3, generator(0))
    file = tmp_path / "broken_tasks.py"
    file.write_text("def sample_tasks(num, generator, split):\n    return 1 / 0, None\n")
    with pytest.raises(UserError, match="sample_tasks raised ZeroDivisionError"):
        sample_tasks(EnvironmentConfig(tasks=str(file)), 3, generator(0))


def test_controls_show_another_reward_and_score_the_true_one():
    env = Maze(num_envs=3)
    true, other = (parse(f"goal={goal}", "maze") for goal in ("250,20", "400,400"))
    for shown in (other, ZERO):
        reward = TaskReward(true, None, learning=False, shown=shown)
        reward.begin(env.reset())
        step = env.step(torch.full((3,), 8))
        seen, truth = reward.step(step, env), env.ground_truth()
        assert torch.equal(seen, shown.reward_fn(step, truth))
        assert torch.equal(reward.returns[-1], true.reward_fn(step, truth))
        assert bool(reward.reached[-1].all())


def test_skills_of_a_contextual_policy_are_what_it_is_told(tmp_path):
    run = runs.make(tmp_path / "run", method="contextual")
    for number in (1, None):
        found = skills.rollout_round(run, number, num_trials=16)
        assert found.positions.shape == (16, 20, 2)
    with pytest.raises(UserError, match="is told its task and cannot be given test tasks"):
        evaluate.compare(run, num_tasks=4)

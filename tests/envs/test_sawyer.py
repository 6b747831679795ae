"""The arm: where its hand goes, what it pushes, and continuing exactly."""

import sys

import gymnasium
import numpy as np
import pytest
import torch

from scalable_binding.envs import registry
from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.sawyer import Sawyer, SawyerConfig
from scalable_binding.envs.single import Rewarded
from scalable_binding.envs.tasks import Task
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def make():
    try:
        Sawyer(SawyerConfig(size=16)).close()
    except UserError as error:
        pytest.skip(str(error))
    made = []

    def make(num_envs=1, **options):
        made.append(Sawyer(SawyerConfig(**options), num_envs))
        return made[-1]

    yield make
    for env in made:
        env.close()


def push(env, *actions):
    for action in actions:
        step = env.step(torch.tensor(action).expand(env.num_envs, 2).float())
    return step


def test_an_episode_begins_at_rest_before_the_puck(make):
    env = make(2)
    assert isinstance(env, BatchEnv)
    first = env.reset()
    assert first.shape == (2, 3, 84, 84) and first.dtype == torch.uint8
    assert torch.equal(first[0], first[1])
    truth = env.ground_truth()
    assert torch.allclose(truth["position"], torch.tensor([0.0, 0.52]))
    assert torch.allclose(truth["puck"], torch.tensor([0.0, 0.6]))
    still = push(env, (0.0, 0.0)).observation
    assert (still.int() - first.int()).abs().float().mean() < 1
    assert (env.ground_truth()["position"] - truth["position"]).abs().max() < 0.002
    assert torch.equal(env.reset(), first)


def test_the_hand_goes_where_actions_tell_and_no_further_than_the_table(make):
    env = make(2, size=16)
    env.reset()
    env.step(torch.tensor([[1.0, 0.0], [-0.5, 9.0]]))
    env.step(torch.zeros(2, 2))
    moved = env.ground_truth()["position"] - torch.tensor([0.0, 0.52])
    assert torch.allclose(moved, torch.tensor([[0.02, 0.0], [-0.01, 0.02]]), atol=0.003)
    push(env, *[(1.0, -1.0)] * 20)
    assert torch.allclose(env.ground_truth()["position"], torch.tensor([0.2, 0.5]), atol=0.005)


def test_the_puck_moves_when_it_is_pushed_and_then_lies_still(make):
    env = make(1, size=24)
    first = env.reset()
    push(env, *[(0.0, 1.0)] * 4)
    truth = env.ground_truth()
    assert truth["puck"][0, 1] > 0.62
    assert 0.05 < (truth["puck"] - truth["position"]).norm() < 0.07
    frame = push(env, *[(0.0, -1.0)] * 3).observation
    assert (env.ground_truth()["puck"] - truth["puck"]).norm() < 0.01
    assert (frame.int() - first.int()).abs().float().mean() > 2


def test_environments_of_a_batch_do_not_mix(make):
    together, alone = make(3, size=16), make(1, size=16)
    generator = torch.Generator().manual_seed(0)
    actions = 2 * torch.rand(8, 3, 2, generator=generator) - 1
    together.reset()
    steps = [together.step(action) for action in actions]
    for number in range(3):
        alone.reset()
        for action, step in zip(actions, steps, strict=True):
            found = alone.step(action[number, None]).observation[0]
            assert torch.equal(found, step.observation[number])
        assert torch.equal(alone.ground_truth()["puck"][0], together.ground_truth()["puck"][number])


def test_a_state_continues_exactly(make):
    one, other = make(2, size=16, episode_length=6), make(2, size=16, episode_length=6)
    one.reset()
    push(one, *[(0.3, 1.0)] * 3)
    other.load_state_dict(one.state_dict())
    for _ in range(4):
        a, b = push(one, (0.5, 0.8)), push(other, (0.5, 0.8))
        assert torch.equal(a.observation, b.observation) and torch.equal(a.done, b.done)
        assert torch.equal(one.ground_truth()["puck"], other.ground_truth()["puck"])
    assert a.done.all()


def test_tasks_reward_the_puck_and_lie_within_its_reach():
    batch = registry.sample_tasks("sawyer", 60, torch.Generator().manual_seed(0))
    goals = torch.tensor([task.goal for task in batch.tasks])
    assert (goals - torch.tensor([0.0, 0.6])).norm(dim=-1).amin() >= 0.07
    assert (goals - torch.tensor([0.0, 0.6])).abs().amax() <= 0.1
    truth = {"position": torch.zeros(60, 2), "puck": goals.clone()}
    assert (batch.reward(truth) == 0).all() and batch.success(truth).all()
    truth["puck"][:, 0] += 0.1
    assert (
        torch.allclose(batch.reward(truth), torch.tensor(-1.0)) and not batch.success(truth).any()
    )


def test_gymnasium_knows_it(make):
    env = gymnasium.make("scalable_binding.envs:Sawyer-v0", size=16, episode_length=4)
    task = Task(goal=(0.0, 0.66), of="puck", shape="negative", radius=0.06, unit=0.1)
    env = Rewarded(env, task)
    env.reset(seed=0)
    rewards = [env.step(np.array([0.0, 1.0], np.float32))[1] for _ in range(4)]
    assert rewards[0] == pytest.approx(-0.6, abs=0.05) and rewards[-1] > -0.5
    env.close()


def test_mistakes_are_named():
    for bad in ({"size": 8}, {"episode_length": 0}, {"frame_skip": 0}, {"action_scale": 0.0}):
        with pytest.raises(UserError, match=f"sawyer, {next(iter(bad))}: expected"):
            SawyerConfig(**bad)
    with pytest.raises(UserError, match="option of sawyer: expected size"):
        registry.make("sawyer", 1, wheels=3)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("sawyer", "mujoco", "mujoco"), ("vizdoom-fixed", "vizdoom", "vizdoom")],
)
def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch, name, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    line = rf"is not installed; pip install 'scalable-binding\[{extra}\]'$"
    with pytest.raises(UserError, match=line):
        registry.make(name, 1)

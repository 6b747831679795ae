"""What a user does with an agent: act, adapt, fine-tune; and what a task may be."""

import json
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch

from carml import runs
from envs import strange
from scalable_binding.carml import inference
from scalable_binding.carml import train as training
from scalable_binding.carml.inference import Agent
from scalable_binding.carml.model import init_policy
from scalable_binding.carml.rollout import collect, fill
from scalable_binding.carml.task_rewards import (
    REWARD_STATS,
    RunningMeanStd,
    TaskReward,
    parse,
    read_reward_stats,
)
from scalable_binding.envs.batch import Step
from scalable_binding.envs.maze import Maze, MazeConfig
from scalable_binding.envs.vector import VectorConfig, VectorEnv
from scalable_binding.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.make(tmp_path_factory.mktemp("runs") / "run")


def policy(**changes):
    settings = {"observation": (2,), "actions": 9, "widths": (), "hidden": 8, "head": 8}
    return init_policy(0, **(settings | changes))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_agent_step_by_step_does_what_a_batch_does():
    """Actions of `Agent` are those of `collect` for the same rewards, over all episodes."""
    agent_policy, env, request = policy(), Maze(num_envs=1), parse("goal=250,60", "maze")
    reward = TaskReward(request, RunningMeanStd(), learning=True)
    trials = collect(env, agent_policy, reward, 3, None)
    agent, done, paid = Agent(agent_policy, seed=None), False, 0.0
    for episode in range(3):
        observation = env.reset()
        for t in range(20):
            action = agent.act(observation[0].numpy(), paid, done)
            assert action == int(trials.actions[0, episode, t])
            step = env.step(torch.tensor([action]))
            truth = env.ground_truth()
            paid, done = float(request.reward_fn(step, truth)[0]), t == 19
            observation = step.observation


def test_reset_forgets_the_task():
    agent = Agent(policy(), seed=None)
    fresh = [agent.act(np.zeros(2, np.float32), reward) for reward in (0.0, 1.0, 5.0)]
    state = agent._state.clone()
    agent.reset()
    agent.act(np.zeros(2, np.float32))
    assert not torch.equal(agent._state, state)
    agent.reset()
    agent.reward_stats = RunningMeanStd()
    again = [agent.act(np.zeros(2, np.float32), reward) for reward in (0.0, 1.0, 5.0)]
    assert again == fresh
    assert torch.equal(agent._state, state)


def test_continuous_actions_fill_the_range_of_the_space():
    space = gymnasium.spaces.Box(np.array([0.0, -5.0]), np.array([10.0, 5.0]), dtype=np.float32)
    agent = Agent(policy(actions=2, continuous=True), space, seed=3)
    actions = np.stack([agent.act(np.zeros(2, np.float32)) for _ in range(50)])
    assert actions.dtype == np.float32
    assert (actions >= space.low).all() and (actions <= space.high).all()
    assert actions[:, 0].max() > 6


def test_actions_are_those_of_the_space():
    numbers = gymnasium.spaces.Discrete(9, start=5)
    agent = Agent(policy(), numbers, seed=3)
    assert all(agent.act(np.zeros(2, np.float32)) in numbers for _ in range(20))
    endless = gymnasium.spaces.Box(-np.inf, np.inf, (2, 2))
    agent = Agent(policy(actions=4, continuous=True), endless, seed=3)
    found = [agent.act(np.zeros(2, np.float32)) for _ in range(5)]
    assert all(action.shape == (2, 2) and np.isfinite(action).all() for action in found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-2.0, 4.0, [-2.0, 1.0, 4.0]),
        (-np.inf, np.inf, [-3.0, 0.0, 9.0]),
        (-1.0, np.inf, [-1, 0, 9]),
    ],
)
def test_vectors_fill_the_range_as_far_as_it_has_ends(low, high, expected):
    space = gymnasium.spaces.Box(low, high, (1,), np.float32)
    actions = torch.tensor([[-3.0], [0.0], [9.0]])
    assert fill(actions, space).flatten().tolist() == expected


def test_whole_rewards_are_whitened_as_other_numbers_are():
    agents = [Agent(policy(), seed=None) for _ in range(2)]
    for one, other in ((0, 0.0), (1, 1.0), (0, 0.0), (1, 1.0)):
        whole, real = agents[0]._whiten(one), agents[1]._whiten(other)
        assert torch.equal(whole, real)
        for agent in agents:
            agent._is_first = False
    assert float(whole) % 1 != 0


def test_a_task_goes_on_when_all_environments_have_ended():
    env = VectorEnv(partial(strange.Counter, 3), "short", 2, 0, VectorConfig(episode_length=6))
    short = policy(observation=(3,), actions=4)
    found = inference.adapt(short, env, parse("own", "short"), generator(), episodes=2)
    assert found.returns.tolist() == [[6.0, 6.0]] * 2


@pytest.mark.parametrize(
    ("observation", "reward", "message"),
    [(np.zeros(3), 0.0, r"observation: expected shape \(2,\)"), (np.zeros(2), np.nan, "finite")],
)
def test_agent_refuses_what_it_cannot_use(observation, reward, message):
    with pytest.raises(UserError, match=message):
        Agent(policy()).act(observation, reward)


def test_run_is_read_back(run):
    config = inference.read_config(run)
    assert config == runs.small()
    assert inference.load(run).observation == (2,)


def test_folder_of_another_system_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"cannot read its config\.json: there is none"):
        inference.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"system": "crw"}))
    with pytest.raises(UserError, match="expected a run of carml, got crw"):
        inference.load(tmp_path)


def test_adaptation_reports_every_episode(run):
    found = inference.try_out(run, "goal=250,80", trials=6, episodes=3)
    assert found.returns.shape == found.reached.shape == (6, 3)
    positions = found.truths["position"]
    assert positions.shape == (6, 3, 20, 2)
    near = (positions - torch.tensor([250.0, 80.0])).norm(dim=-1) <= 50
    assert torch.equal(near.any(-1), found.reached)
    paid = 50 / (positions - torch.tensor([250.0, 80.0])).norm(dim=-1).clamp(min=50)
    assert torch.allclose(paid.sum(-1), found.returns, atol=1e-4)


def test_environment_that_does_not_fit_is_refused():
    env = Maze(MazeConfig(actions="continuous"), num_envs=2)
    with pytest.raises(UserError, match=r"a choice among 9, got observations 2 and vectors of 2"):
        inference.adapt(policy(), env, parse("own", "maze"), generator())


def test_own_function_is_asked_for_rewards(run, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def up(observations, truth):\n    return observations[:, 1]\n")
    found = inference.try_out(run, f"{file}:up", trials=3, episodes=2)
    assert found.name == "up"
    assert found.reached is None
    expected = found.trials.trajectories[..., 1].sum(-1)
    assert torch.allclose(found.returns, expected, atol=1e-5)


def test_function_with_wrong_or_infinite_rewards_is_refused(run, tmp_path):
    file = tmp_path / "bad.py"
    file.write_text(
        "def one(observations, truth):\n    return 1.0\n"
        "def nan(observations, truth):\n    return observations[:, 1] * float('nan')\n"
    )
    with pytest.raises(UserError, match="a reward for each of 3 environments"):
        inference.try_out(run, f"{file}:one", trials=3)
    with pytest.raises(UserError, match="finite numbers, got nan"):
        inference.try_out(run, f"{file}:nan", trials=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("home", "task: expected goal=X,Y"),
        ("goal=1", "two numbers"),
        ("goal=a,b", "two numbers"),
        ("object=-1", "at least 0"),
        ("nowhere.py:f", "cannot import nowhere.py"),
        ("math:missing", "a function missing in math"),
    ],
)
def test_tasks_of_another_form_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse(text, "maze")


def test_goal_of_sawyer_is_for_the_puck():
    truth = {"position": torch.zeros(1, 2), "puck": torch.tensor([[0.05, 0.62]])}
    request = parse("goal=0.05,0.62", "sawyer")
    step = Step(torch.zeros(1, 2), torch.zeros(1), torch.zeros(1, dtype=torch.bool))
    assert bool(request.success_fn(step, truth))
    assert float(request.reward_fn(step, truth)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("task", "method"), [("goal=300,200", "ppo"), (None, "oracle")])
def test_fine_tuning_starts_from_the_agent(run, tmp_path, task, method):
    out = tmp_path / "tuned"
    training.finetune(
        run, out, task=task, updates=1, changes={"ppo.epochs": 1, "fit.optimizer.lr": 1e-9}
    )
    config = inference.read_config(out)
    assert (config.method, config.task, config.fit.steps) == (method, task, 1)
    before, after = inference.load(run), inference.load(out)
    assert torch.allclose(before.actor[0].weight, after.actor[0].weight, atol=1e-6)


def test_fine_tuning_into_the_run_itself_is_refused(run):
    with pytest.raises(UserError, match="is the run itself"):
        training.finetune(run, run, task="own")


def test_an_agent_of_given_tasks_is_asked_with_the_rewards_of_its_training(tmp_path):
    run = runs.make(tmp_path / "oracle", method="oracle")
    kept = read_reward_stats(run)
    assert kept is not None and kept.count == 3 * 8 * 2 * 20
    found = inference.try_out(run, "goal=300,200", trials=2)
    raw = found.trials.rewards * (kept.squares / kept.count).sqrt() + kept.mean
    torch.testing.assert_close(raw.sum(dim=-1).float(), found.returns)
    (run / REWARD_STATS).write_text('{"count": 1, "mean": "much"}')
    with pytest.raises(UserError, match="is damaged"):
        inference.try_out(run, "goal=300,200")


def test_an_agent_of_its_own_tasks_has_no_rewards_to_remember(run):
    assert read_reward_stats(run) is None

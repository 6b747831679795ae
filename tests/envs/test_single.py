"""The package's environments through Gymnasium's own interface."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from scalable_binding.envs import registry
from scalable_binding.envs.single import Rewarded
from scalable_binding.envs.tasks import Task


@pytest.mark.filterwarnings("ignore:.*render")
@pytest.mark.parametrize("name", ["Maze-v0", "Room-v0"])
def test_gymnasium_finds_nothing_wrong(name):
    check_env(gymnasium.make(f"scalable_binding.envs:{name}").unwrapped)


def test_one_environment_is_a_batch_of_one():
    single = gymnasium.make("scalable_binding.envs:Room-v0", size=24, episode_length=3)
    batch = registry.make("room", 1, size=24, episode_length=3)
    first, _ = single.reset(seed=0)
    assert np.array_equal(first, batch.reset()[0].numpy())
    for number, action in enumerate((2, 0, 2)):
        observation, reward, terminated, truncated, _ = single.step(action)
        assert np.array_equal(observation, batch.step(torch.tensor([action])).observation[0])
        assert (reward, terminated, truncated) == (0.0, False, number == 2)


def test_worlds_are_renewed_unless_they_shall_stay():
    env = gymnasium.make("scalable_binding.envs:Room-v0", size=16, layout="random")
    truth = env.get_wrapper_attr("ground_truth")
    env.reset(seed=3)
    first = truth()["objects"]
    env.reset(options={"resample_world": False})
    assert np.array_equal(truth()["objects"], first)
    env.reset()
    assert not np.array_equal(truth()["objects"], first)
    env.reset(seed=3)
    assert np.array_equal(truth()["objects"], first)


def test_a_task_rewards_the_true_state():
    env = gymnasium.make("scalable_binding.envs:Maze-v0", start=(0.5, 0.5), speed=30.0)
    env = Rewarded(env, Task(goal=(350.0, 250.0), radius=50.0))
    env.reset(seed=0)
    results = [env.step(0) for _ in range(3)]
    assert [round(result[1], 3) for result in results] == [round(50 / 70, 3), 1.0, 1.0]
    assert [result[4]["success"] for result in results] == [False, True, True]


def test_they_go_through_the_vector_wrapper_too():
    env = registry.make("scalable_binding.envs:Room-v0", 2, 1, size=16, episode_length=4)
    assert env.reset().shape == (2, 3, 16, 16) and env.episode_length == 4
    assert env.ground_truth()["position"].tolist() == [[250.0, 470.0]] * 2

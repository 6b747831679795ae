"""METRA: losses against a slow loop, rewards that telescope, steps that come to be one long."""

import math

import pytest
import torch

from carml import runs
from scalable_binding.carml.method_config import MetraConfig
from scalable_binding.carml.metra import Metra, MetraReward, MetraSource, losses
from scalable_binding.carml.model import init_policy
from scalable_binding.carml.rollout import collect
from scalable_binding.carml.task_rewards import NoReward
from scalable_binding.engine.distributed import DistributedContext
from scalable_binding.envs.maze import Maze
from scalable_binding.errors import UserError
from scalable_binding.nn.running_mean_std import RunningMeanStd

ALONE = DistributedContext(0, 1, torch.device("cpu"))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(**settings):
    found = Metra((2,), MetraConfig(**settings))
    found.init_weights(torch.randn(100, 2, generator=generator()), generator(), None)
    return found


def test_losses_are_those_of_the_paper_pair_by_pair():
    found = network(slack=0.5, first_multiplier=3.0)
    before, after = torch.randn(2, 20, 2, generator=generator(1))
    skills = found.sample_skills(20, generator(2))
    objective = slack = 0.0
    for s, s_next, z in zip(before, after, skills, strict=True):
        change = (found(s_next[None]) - found(s[None]))[0]
        left = min(0.5, 1 - float((change @ change).detach()))
        objective += (float((change @ z).detach()) + 3.0 * left) / 20
        slack += left / 20
    got = losses(found, before, after, skills)
    assert float(got.phi.detach()) == pytest.approx(-objective, rel=1e-4)
    assert float(got.multiplier.detach()) == pytest.approx(math.log(3.0) * slack, rel=1e-4)
    (gradient,) = torch.autograd.grad(got.phi, found.log_multiplier, allow_unused=True)
    assert gradient is None  # the multiplier descends its own loss only


def test_skills_are_of_length_one_or_centered_one_hot():
    assert torch.allclose(
        network(width=3).sample_skills(50, generator()).norm(dim=-1), torch.ones(1)
    )
    skills = network(width=4, is_discrete=True).sample_skills(50, generator())
    assert torch.allclose(skills.sum(-1), torch.zeros(50), atol=1e-6)
    assert sorted(set(skills.flatten().tolist())) == pytest.approx([-1 / 3, 1])
    with pytest.raises(UserError, match=r"metra\.width"):
        MetraConfig(width=1, is_discrete=True)


def test_rewards_of_an_episode_sum_to_how_far_it_went_along_its_skill():
    found, env = network(), Maze(num_envs=8)
    reward = MetraReward(found, found.sample_skills(8, generator()), RunningMeanStd())
    reward.stats.update(torch.tensor([0.0, 2.0]))  # of deviation 1
    reward.stats.update = lambda values: None
    first = env.reset()
    reward.begin(first)
    total, random = torch.zeros(8), generator()
    for _ in range(env.episode_length):
        step = env.step(torch.randint(9, (8,), generator=random))
        total += reward.step(step, env)
    expected = ((found(step.observation) - found(first)) * reward.skills).sum(-1)
    assert torch.allclose(total, expected.detach(), atol=1e-4)


def test_learning_keeps_steps_at_most_one_long_and_pays_for_moving():
    config = runs.small(
        method="metra", metra__steps=400, metra__lr=3e-3, metra__first_multiplier=1.0
    )
    env = Maze(num_envs=32)
    source = MetraSource(config, env, ALONE)
    policy = init_policy(0, observation=(2,), actions=9, widths=(), hidden=8, head=8)
    source.update(collect(env, policy, NoReward(), 2, generator()), NoReward(), generator())
    reward = source.sample(32, generator())
    trials = collect(env, policy, reward, 2, generator())
    figures = source.update(trials, reward, generator())
    assert 0.2 < figures["metra_squared_step"] < 1.3
    assert math.isfinite(figures["metra_multiplier"]) and figures["metra_reward"] > 0


@pytest.mark.parametrize("side", [24, 84])
def test_pixels_are_seen_in_color(side):
    found = Metra((3, side, side), MetraConfig(width=4))
    images = torch.randint(0, 255, (4, 3, side, side), dtype=torch.uint8)
    found.init_weights(images, generator(), None)
    assert found(images).shape == (4, 4)
    assert not torch.allclose(found(images), found(images.flip(1)))

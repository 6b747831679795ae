"""Rewards against direct evaluation: Eq. 4.6-4.9, 4.26, 4.33; smoothing; whitening."""

import dataclasses

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from carml.trajectories import blobs
from reference import mixture as reference
from scalable_binding.carml import reward, skills
from scalable_binding.carml.config import MixtureConfig, RewardConfig, ScaffoldConfig
from scalable_binding.carml.scaffold import MixtureScaffold
from scalable_binding.engine.config import from_mapping
from scalable_binding.envs.batch import Step
from scalable_binding.envs.maze import Maze
from scalable_binding.errors import UserError


def scaffold(components=4, width=2, seed=0):
    config = ScaffoldConfig(mixture=MixtureConfig(components=components))
    found = MixtureScaffold((width,), config)
    found.fit(blobs(60, 6, width).float(), torch.Generator().manual_seed(seed))
    return found


def steps_of(states, done=None):
    """What an environment answers when it comes to states (t e d)."""
    for t, state in enumerate(states):
        over = torch.zeros(len(state), dtype=torch.bool) if done is None else done[t]
        yield Step(state, torch.zeros(len(state)), over)


def test_reward_is_equation_4_8_of_normal_densities():
    found, states, tasks = scaffold(), torch.randn(5, 2), torch.tensor([0, 3, 1, 1, 2])
    paid = reward.ScaffoldReward(
        found, tasks, RewardConfig(weight=0.7), reward.RunningWhitening(4)
    ).raw(states)
    scaled = (states.double() - found.shift) / found.scale
    for state, task, value in zip(scaled, tasks, paid, strict=True):
        each = Normal(found.means, found.covariances.sqrt()).log_prob(state).sum(-1)
        marginal = (found.log_weights + each).logsumexp(0)
        assert float(value) == pytest.approx(float(0.7 * each[task] - marginal), rel=1e-5)


def test_with_lambda_1_the_reward_is_log_likelihood_less_log_marginal():
    conditional, marginal = torch.randn(2, 7)
    assert torch.equal(reward.combine(conditional, marginal, 1.0), conditional - marginal)
    assert torch.equal(reward.combine(conditional, marginal, 0.0), -marginal)


def discrete(seed=0):
    """Random q(s|z), q(z) and pi(s|z) over 3 tasks and 6 states."""
    generator = torch.Generator().manual_seed(seed)
    q, pi = torch.rand(2, 3, 6, generator=generator, dtype=torch.float64)
    weights = torch.rand(3, generator=generator, dtype=torch.float64)
    return q / q.sum(-1, keepdim=True), pi / pi.sum(-1, keepdim=True), weights / weights.sum()


def test_expected_reward_is_information_less_one_divergence_plus_the_other():
    """Eq. 4.7 with its KL terms named: I - E KL(pi(s|z) || q(s|z)) + KL(pi(s) || q(s))."""
    q, pi, weights = discrete()
    marginal_q, marginal_pi = weights @ q, weights @ pi
    paid = reward.combine(q.log(), marginal_q.log().expand_as(q), 1.0)
    expected = float((weights[:, None] * pi * paid).sum())
    information = skills.mutual_information(weights[:, None] * pi)
    within = float((weights * kl_divergence(Categorical(pi), Categorical(q))).sum())
    between = float(kl_divergence(Categorical(marginal_pi), Categorical(marginal_q)))
    assert expected == pytest.approx(information - within + between)


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.99, 1.0])
def test_equation_4_26_holds_and_its_constant_differs_from_task_to_task(weight):
    q, _, weights = discrete(1)
    marginal = (weights @ q).log().expand_as(q)
    posterior = (weights[:, None] * q).log() - marginal
    paid = reward.combine(q.log(), marginal, weight)
    left_out = paid - ((weight - 1) * q.log() + posterior)
    assert torch.allclose(left_out, -weights.log()[:, None].expand_as(q))
    assert left_out.std() > 0.1


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.99, 1.0])
def test_discriminative_form_is_the_same_reward(weight):
    """Eq. 4.33 with C = - lambda log p(z)."""
    q, _, weights = discrete(2)
    marginal = (weights @ q).log().expand_as(q)
    prior = weights.log()[:, None].expand_as(q)
    posterior = prior + q.log() - marginal
    paid = reward.combine_discriminative(posterior, marginal, prior, weight)
    assert torch.allclose(paid, reward.combine(q.log(), marginal, weight))


def test_at_lambda_1_the_discriminative_reward_is_diayns():
    posterior, marginal, prior = torch.randn(3, 8)
    paid = reward.combine_discriminative(posterior, marginal, prior, 1.0)
    assert torch.allclose(paid, posterior - prior)


def test_mean_information_of_states_is_at_most_that_of_a_trajectory():
    """Eq. 4.28 is an inequality, equal where states say the same, strict where they add up."""
    z = torch.tensor([0, 0, 1, 1])
    first, second = torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 1])
    both = skills.joint_counts(z, (first * 3 + second)[:, None], 2, 9)
    each = [skills.joint_counts(z, s[:, None], 2, 3) for s in (first, second)]
    mean = sum(map(skills.mutual_information, each)) / 2
    assert mean < skills.mutual_information(both) - 0.1


@pytest.mark.parametrize("window", [1, 3, 10])
def test_smoothing_averages_the_last_rewards_and_restarts_with_an_episode(window):
    smoothing = reward.MovingAverage(window)
    for seed in (0, 1):
        rewards = torch.randn(8, 2, generator=torch.Generator().manual_seed(seed))
        smoothing.restart()
        found = torch.stack([smoothing(each) for each in rewards])
        for environment in range(2):
            expected = reference.smooth(rewards[:, environment].tolist(), window)
            assert found[:, environment].tolist() == pytest.approx(expected, abs=1e-6)


def test_reservoir_whitening_leaves_reference_states_with_mean_0_and_deviation_1():
    found, states = scaffold(), blobs(60, 6, 2).float()
    whitening = reward.ReservoirWhitening(2, 0.9, num=500)
    whitening.measure(found, states, torch.Generator().manual_seed(0))
    for task in range(4):
        tasks = torch.full((500,), task)
        conditional = found.paired_log_likelihood(whitening.features, tasks)
        rewards = reward.combine(conditional, found.marginal(whitening.features), 0.9)
        one = whitening.open(found, torch.tensor([task]))
        white = torch.cat([one(each[None], torch.ones(1, dtype=torch.bool)) for each in rewards])
        assert float(white.mean()) == pytest.approx(0, abs=1e-6)
        assert float(white.std(correction=0)) == pytest.approx(1, abs=1e-6)


def test_running_whitening_keeps_the_moments_of_each_task_apart():
    generator = torch.Generator().manual_seed(0)
    whitening = reward.RunningWhitening(3)
    seen = {0: [], 1: []}
    for _ in range(7):
        places = torch.randint(0, 2, (9,), generator=generator)
        rewards = 1000 * places + (places + 1) * torch.randn(9, generator=generator)
        whitening.stats.update(rewards, places)
        for place, value in zip(places.tolist(), rewards.tolist(), strict=True):
            seen[place].append(value)
    for task, values in seen.items():
        values = torch.tensor(values, dtype=torch.float64)
        assert whitening.stats.count[task] == len(values)
        assert torch.allclose(whitening.stats.mean[task], values.mean())
        variance = whitening.stats.squares[task] / whitening.stats.count[task]
        assert torch.allclose(variance, values.var(correction=0))
    assert whitening.stats.count[2] == 0


def test_running_whitening_leaves_out_what_comes_after_an_early_end():
    found, whitening = scaffold(), reward.RunningWhitening(4)
    tasks = torch.tensor([0, 1])
    paid = reward.ScaffoldReward(found, tasks, RewardConfig(), whitening)
    done = torch.tensor([[False, True], [False, True], [True, True]])
    for _ in range(2):
        paid.begin(torch.zeros(2, 2))
        for step in steps_of(torch.randn(3, 2, 2), done):
            paid.step(step, Maze(num_envs=2))
    assert whitening.stats.count.tolist() == [6, 2, 0, 0]


@pytest.mark.parametrize("kind", ["reservoir", "running"])
def test_statistics_go_on_to_the_same_bits(kind):
    found, states = scaffold(), blobs(60, 6, 2).float()
    config = RewardConfig(whitening=kind)
    first, second = (reward.build_whitening(config, found) for _ in range(2))
    shapes = {name: t.shape for name, t in first.state_dict().items()}
    first.measure(found, states, torch.Generator().manual_seed(0))
    tasks, active = torch.tensor([0, 3]), torch.ones(2, dtype=torch.bool)
    first.open(found, tasks)(torch.tensor([1.0, 2.0]), active)
    second.load_state_dict({name: t.clone() for name, t in first.state_dict().items()})
    assert {name: t.shape for name, t in second.state_dict().items()} == shapes
    values = [w.open(found, tasks)(torch.tensor([3.0, 4.0]), active) for w in (first, second)]
    assert torch.equal(values[0], values[1])


@pytest.mark.parametrize("changes", [{"weight": 1.5}, {"weight": -0.1}, {"weight": float("nan")}])
def test_lambda_outside_of_0_to_1_is_refused(changes):
    with pytest.raises(UserError, match=r"weight \(lambda\): expected a number in \[0, 1\]"):
        dataclasses.replace(RewardConfig(), **changes)


def test_window_of_0_and_unknown_whitening_are_refused():
    with pytest.raises(UserError, match="window"):
        RewardConfig(window=0)
    with pytest.raises(UserError, match="'whitening': expected one of reservoir, running"):
        from_mapping(RewardConfig, {"whitening": "none"})

"""E-step diagnostics find what rewards depend on, and leave environments as they were."""

import math

import pytest
import torch
from safetensors.torch import load_file

from carml import runs
from scalable_binding.carml import diagnostics
from scalable_binding.carml.config import EnvironmentConfig, MixtureConfig, ScaffoldConfig
from scalable_binding.carml.scaffold import MixtureScaffold
from scalable_binding.engine.log import read_log
from scalable_binding.envs import registry

ROOM = EnvironmentConfig(name="room", options=("size=24", "episode_length=16", "turn=45"))


def make(num=32):
    return registry.make(ROOM.name, num, 0, **ROOM.arguments())


class Known(MixtureScaffold):
    """A scaffold of two tasks whose rewards are a given function of the true states."""

    def __init__(self, conditional):
        super().__init__((1,), ScaffoldConfig(mixture=MixtureConfig(components=2)))
        self.conditional = conditional

    def encode(self, observations):
        return torch.zeros(len(observations), 1)

    def log_likelihood(self, features, tasks):
        return self.conditional[:, tasks]

    def marginal(self, features):
        return torch.zeros(len(features))


def figures_of(conditional_of, num_states=2000):
    def random():
        return torch.Generator().manual_seed(0)

    truth = diagnostics.sample_states(make(), num_states, random()).truth
    scaffold = Known(conditional_of(truth))
    return diagnostics.diagnose(scaffold, 0.99, make(), ROOM, num_states, random())


def by_heading(truth):
    return torch.stack([truth["heading"].cos(), truth["heading"].sin()], dim=1)


def by_place(truth):
    return truth["position"] / 100


def by_chance(truth):
    return torch.randn(len(truth["position"]), 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("conditional_of", "least", "most"),
    [
        (by_heading, {"reward_heading": 0.8, "reward_explained": 0.8}, {"reward_place": 0.4}),
        (by_place, {"reward_place": 0.8, "reward_explained": 0.8}, {"reward_heading": 0.4}),
        (
            by_chance,
            {},
            dict.fromkeys(("reward_place", "reward_heading", "reward_explained"), 0.05),
        ),
    ],
)
def test_shares_name_what_rewards_depend_on(conditional_of, least, most):
    found = figures_of(conditional_of)
    assert all(found[name] >= share for name, share in least.items())
    assert all(abs(found[name]) <= share for name, share in most.items())
    assert abs(found["reward_correlation"]) <= 1


def test_epsilon_squared_is_eta_squared_without_what_chance_gives():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(40, (200,), generator=generator)
    values = torch.randn(200, 1, generator=generator, dtype=torch.float64) + 0.5 * labels[:, None]
    for column in (values, torch.randn(200, 1, generator=generator, dtype=torch.float64)):
        within = sum(
            float((column[labels == n] - column[labels == n].mean()).square().sum())
            for n in labels.unique()
        )
        eta = 1 - within / float((column - column.mean()).square().sum())
        expected = 1 - (1 - eta) * 199 / (200 - len(labels.unique()))
        assert float(diagnostics.explained_variance(column, labels)) == pytest.approx(expected)
    assert float(diagnostics.explained_variance(torch.ones(200, 1), labels)) == 0
    assert math.isnan(float(diagnostics.explained_variance(values, torch.arange(200))))


def test_a_task_like_a_wanted_one_correlates():
    wanted = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    assert diagnostics.best_correlation(2 * wanted + 1, wanted) == pytest.approx(1)
    assert diagnostics.best_correlation(-wanted[:, :1], wanted[:, :1]) == pytest.approx(-1)


def test_environments_go_on_as_if_nothing_had_been_tried():
    first, second = make(8), make(8)
    diagnostics.sample_states(second, 300, torch.Generator().manual_seed(0))
    for env in (first, second):
        env.resample_world()
    assert torch.equal(first.reset(), second.reset())
    actions = torch.zeros(8, dtype=torch.int64)
    assert torch.equal(first.step(actions).observation, second.step(actions).observation)


def test_each_round_is_diagnosed_in_the_log(tmp_path):
    run = runs.make(tmp_path / "run", scaffold__diagnostic_states=128)
    found = [line for line in read_log(run) if "reward_place" in line]
    assert len(found) == 2 and all("reward_correlation" in line for line in found)
    without = runs.make(tmp_path / "without", scaffold__diagnostic_states=0)
    assert not any("reward_place" in line for line in read_log(without))
    first, second = (load_file(folder / "model.safetensors") for folder in (run, without))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())

"""The scaffold of states: units, tasks, figures, its state."""

import pytest
import torch

from carml.trajectories import blobs
from scalable_binding.carml.config import MixtureConfig, ScaffoldConfig
from scalable_binding.carml.rollout import Reservoir
from scalable_binding.carml.scaffold import MixtureScaffold, build_scaffold
from scalable_binding.errors import UserError

CONFIG = ScaffoldConfig(mixture=MixtureConfig(components=4))


def fitted(trajectories, seed=0):
    found = MixtureScaffold((trajectories.shape[-1],), CONFIG)
    figures = found.fit(trajectories, torch.Generator().manual_seed(seed))
    return found, figures


def test_units_of_a_state_do_not_matter():
    trajectories = blobs(60, 4, 2).float()
    units = torch.tensor([1024.0, 1 / 128])
    here, there = fitted(trajectories)[0], fitted(trajectories * units)[0]
    assert torch.equal(here.label(trajectories), there.label(trajectories * units))
    assert torch.allclose(here.means, there.means, atol=1e-3)


def test_pairs_are_the_diagonal_of_all_with_all():
    found, _ = fitted(blobs().float())
    features, tasks = found.encode(torch.randn(5, 3)), torch.tensor([3, 0, 0, 2, 1])
    table = found.log_likelihood(features, tasks)
    assert torch.equal(table.diagonal(), found.paired_log_likelihood(features, tasks))


def test_marginal_is_the_sum_over_tasks():
    found, _ = fitted(blobs().float())
    features = found.encode(torch.randn(5, 3))
    table = found.log_likelihood(features, torch.arange(4)).exp()
    assert torch.allclose(found.marginal(features).exp(), table @ found.log_weights.exp())


def test_tasks_come_as_often_as_their_weights_say():
    found, _ = fitted(blobs().float())
    tasks = found.sample_tasks(20000, torch.Generator().manual_seed(0))
    shares = torch.bincount(tasks, minlength=4) / 20000
    assert torch.allclose(shares.double(), found.log_weights.exp(), atol=0.015)


def test_label_holds_for_the_whole_trajectory():
    trajectories = blobs(30, 4, 2).float()
    found, figures = fitted(trajectories)
    features = found.encode(trajectories.reshape(-1, 2)).view(30, 4, 2)
    joint = found.log_weights + found.mixture.log_likelihood(features).sum(1)
    assert torch.equal(found.label(trajectories), joint.argmax(-1))
    assert 1 <= figures["scaffold_components"] <= 4


def test_state_is_complete_and_of_fixed_shapes():
    found, _ = fitted(blobs().float())
    fresh = build_scaffold((3,), CONFIG)
    shapes = {name: t.shape for name, t in fresh.state_dict().items()}
    assert shapes == {name: t.shape for name, t in found.state_dict().items()}
    fresh.load_state_dict(found.state_dict())
    states = torch.randn(6, 3)
    assert torch.equal(fresh.marginal(fresh.encode(states)), found.marginal(found.encode(states)))


def test_reservoir_smaller_than_the_components_is_refused():
    reservoir = Reservoir(3, 5, (3,), torch.float32)
    reservoir.add(blobs(10).float(), torch.Generator())
    found = MixtureScaffold((3,), CONFIG)
    with pytest.raises(UserError, match=r"at least as many as components \(4\), got 3"):
        found.fit(reservoir.trajectories, torch.Generator())


def test_states_that_are_no_numbers_are_refused():
    trajectories = blobs().float()
    trajectories[3, 1, 0] = torch.nan
    with pytest.raises(UserError, match="finite numbers"):
        fitted(trajectories)


@pytest.mark.parametrize(
    "settings",
    [{"components": 0}, {"prior_variance": 0.0}, {"tolerance": -1.0}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        MixtureConfig(**settings)

"""Clusterings and mixtures over several processes: as if one had all the trajectories.

DistributedContext are threads here, which meet wherever they add something up.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from carml.trajectories import blobs
from scalable_binding.carml import mixture
from scalable_binding.carml.clustering import cluster, refine
from scalable_binding.carml.config import MixtureConfig, ScaffoldConfig
from scalable_binding.carml.scaffold import MixtureScaffold
from scalable_binding.engine.distributed import DistributedContext


class Meeting(DistributedContext):
    """A rank among threads."""

    def __init__(self, rank, size, table, barrier):
        super().__init__(rank, size, torch.device("cpu"))
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "barrier", barrier)

    def mean(self, values):
        self.table[self.rank] = values.clone()
        self.barrier.wait(20)
        total = sum(self.table[rank] for rank in range(self.size))
        self.barrier.wait(20)
        return total / self.size


def together(work, size=2):
    """What every rank gets from ``work(rank, ranks)``."""
    table, barrier = {}, threading.Barrier(size)
    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(work, r, Meeting(r, size, table, barrier)) for r in range(size)]
        return [future.result(60) for future in futures]


def test_lloyd_moves_to_the_same_centers():
    points = blobs(80, 1)[:, 0]
    whole = refine(points, points[:5], 30)
    found = together(lambda rank, ranks: refine(points[rank::2], points[:5], 30, ranks))
    for part in found:
        assert torch.allclose(part.centers, whole.centers)
        assert part.distortion == pytest.approx(whole.distortion)
    assert torch.equal(found[1].labels, whole.labels[1::2])


def test_expectation_maximization_finds_the_same_mixture():
    trajectories = blobs(60)
    members = functional.one_hot(torch.arange(60) % 4, 4).double()
    config = MixtureConfig(components=4)
    whole = mixture.maximize(trajectories, members, config)
    found = together(
        lambda r, ranks: mixture.maximize(trajectories[r::2], members[r::2], config, ranks)
    )
    for part in found:
        assert part.log_likelihood == pytest.approx(whole.log_likelihood)
        assert torch.allclose(part.mixture.means, whole.mixture.means)
        assert part.iterations == whole.iterations


def test_ranks_agree_whatever_they_draw():
    trajectories = blobs(60).float()

    def fit(rank, ranks):
        scaffold = MixtureScaffold((3,), ScaffoldConfig(mixture=MixtureConfig(components=4)))
        scaffold.fit(trajectories[rank::2], torch.Generator().manual_seed(rank), ranks)
        return scaffold.state_dict()

    first, second = together(fit)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_clusters_of_all_are_no_worse_than_each_ranks_own():
    trajectories = blobs(60)
    found = together(
        lambda r, ranks: cluster(
            trajectories[r::2], 6, torch.Generator().manual_seed(r), ranks=ranks
        )
    )
    assert torch.equal(found[0].centers, found[1].centers)
    assert found[0].distortion == found[1].distortion

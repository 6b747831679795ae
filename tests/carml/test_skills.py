"""Information, occupancy and coverage on worlds small enough to count by hand."""

import math

import pytest
import torch

from scalable_binding.carml import skills
from scalable_binding.errors import UserError


def test_cells_are_counted_row_by_row():
    points = torch.tensor([[0.0, 0.0], [499.0, 0.0], [0.0, 499.0], [500.0, 500.0], [120.0, 60.0]])
    assert skills.cells(points, (0.0, 500.0)).tolist() == [0, 9, 90, 99, 12]


def test_tasks_that_own_their_cells_tell_everything():
    tasks, visited = torch.arange(4), torch.arange(4)[:, None].expand(4, 3)
    joint = skills.joint_counts(tasks, visited, 4, 9)
    assert skills.mutual_information(joint) == pytest.approx(math.log(4))
    same = skills.joint_counts(tasks, torch.zeros(4, 3, dtype=torch.int64), 4, 9)
    assert skills.mutual_information(same) == pytest.approx(0, abs=1e-12)


def test_information_is_the_sum_over_the_joint_distribution():
    joint = torch.rand(3, 5, dtype=torch.float64)
    shares = joint / joint.sum()
    total = 0.0
    for z in range(3):
        for s in range(5):
            product = float(shares[z].sum() * shares[:, s].sum())
            total += float(shares[z, s]) * math.log(float(shares[z, s]) / product)
    assert skills.mutual_information(joint) == pytest.approx(total)


def test_occupancy_and_coverage():
    assert skills.occupancy(torch.tensor([0, 1, 2, 3]), 16) == pytest.approx(4)
    assert skills.occupancy(torch.zeros(9, dtype=torch.int64), 16) == pytest.approx(1)
    assert skills.coverage(torch.tensor([[3, 3], [4, 7]]), 10) == pytest.approx(0.3)


def test_impossible_square_is_refused():
    with pytest.raises(UserError, match="cells of a square"):
        skills.cells(torch.zeros(1, 2), (1.0, 1.0))


def test_information_of_shuffled_tasks_is_what_chance_gives():
    random = torch.Generator().manual_seed(0)
    tasks = torch.randint(16, (256,), generator=random)
    visited = torch.randint(100, (256, 16), generator=random)
    raw = skills.mutual_information(skills.joint_counts(tasks, visited, 16, 100))
    chance = skills.chance_information(tasks, visited, 16, 100)
    assert raw > 0.1, "independent, yet the estimate is high"
    assert raw - chance == pytest.approx(0, abs=0.03)

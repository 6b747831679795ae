import pytest
import torch
from torch.utils.data import Dataset

from scalable_binding.data.datasets.mixture import Mixture
from scalable_binding.errors import UserError


class Numbers(Dataset):
    def __init__(self, start):
        self.start = start

    def __getitem__(self, index):
        return {"value": torch.tensor(self.start + index), "index": torch.tensor(index)}


def values(share, count):
    mixture = Mixture(Numbers(0), Numbers(1000), share)
    items = [mixture[index] for index in range(count)]
    assert [int(item["index"]) for item in items] == list(range(count))
    return [int(item["value"]) for item in items]


def test_both_are_asked_for_all_their_items_in_turn():
    assert values(0.25, 8) == [0, 1, 2, 1000, 3, 4, 5, 1001]
    assert values(0.0, 3) == [0, 1, 2]
    assert values(1.0, 3) == [1000, 1001, 1002]


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.7])
def test_the_share_is_kept(share):
    found = values(share, 300)
    assert abs(sum(value >= 1000 for value in found) - 300 * share) <= 1
    assert len(set(found)) == 300


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(UserError, match="share"):
        Mixture(Numbers(0), Numbers(1), 1.5)
    with pytest.raises(UserError, match="two data sets"):
        Mixture(None, Numbers(1), 0.5)
    assert int(Mixture(None, Numbers(7), 1.0)[0]["value"]) == 7

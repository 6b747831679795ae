"""Digits: real, split once and for all, endless."""

import sys

import pytest
import torch
from sklearn.datasets import load_digits

from scalable_binding.data.datasets import digits
from scalable_binding.data.datasets.digits import Digits
from scalable_binding.data.datasets.order import Shuffle
from scalable_binding.errors import UserError


def test_the_splits_part_scikit_learns_digits():
    parts = [digits.load(split) for split in ("train", "held_out")]
    assert [len(images) for images, _ in parts] == [1400, 397]
    images = torch.cat([images for images, _ in parts]).flatten(1)
    labels = torch.cat([labels for _, labels in parts])
    found = load_digits()
    expected = torch.from_numpy(found.data * 255 / 16).round()
    rows = {(*row.tolist(), label) for row, label in zip(images, labels.tolist(), strict=True)}
    assert rows == {
        (*row.tolist(), label) for row, label in zip(expected, found.target.tolist(), strict=True)
    }
    assert (int(images.min()), int(images.max())) == (0, 255)


def test_items_are_pure_in_seed_and_index_and_every_pass_shows_all():
    dataset = Digits("held_out", seed=3)
    items = [dataset[index] for index in range(2 * 397)]
    assert items[5]["image"].shape == (1, 8, 8) and items[5]["image"].dtype == torch.uint8
    assert items[5]["label"].dtype == torch.int64 and items[5]["index"] == 5
    for index in (700, 3, 500):
        again = Digits("held_out", seed=3)[index]
        assert all(torch.equal(again[name], items[index][name]) for name in again)
    labels = torch.stack([item["label"] for item in items])
    assert torch.equal(labels[:397].bincount(), labels[397:].bincount())
    assert not torch.equal(labels[:397], labels[397:])
    other = torch.stack([Digits("held_out", seed=4)[index]["label"] for index in range(397)])
    assert not torch.equal(labels[:397], other)


def test_what_cannot_be_is_told(monkeypatch):
    with pytest.raises(IndexError):
        Digits()[-1]
    for count, seed in ((0, 0), (3, -1)):
        with pytest.raises(UserError, match="at least"):
            Shuffle(count, seed)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UserError, match="pip install"):
        digits.load.__wrapped__("train")

"""Labels that a network does not know are refused where they are read, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.engine.config import override
from scalable_binding.errors import UserError
from scalable_binding.rin import train
from scalable_binding.rin.labels import CheckedLabels
from scalable_binding.rin.presets import debug


class Numbered(Dataset[dict[str, Tensor]]):
    """Black images with given labels, or without any where it is None."""

    def __init__(self, *labels: int | None) -> None:
        self.labels = labels

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        label = self.labels[index % len(self.labels)]
        image: dict[str, Any] = {"image": torch.zeros(1, 8, 8, dtype=torch.uint8)}
        return image if label is None else {**image, "label": torch.tensor(label)}


def test_known_labels_and_hidden_ones_pass_unchanged() -> None:
    checked = CheckedLabels(Numbered(0, 9, -1), 10)
    assert [int(checked[index]["label"]) for index in range(3)] == [0, 9, -1]


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (10, "label of training example 2: expected 0 to 9, or -1 for none, got 10"),
        (-2, "expected 0 to 9, or -1 for none, got -2"),
        (None, "training example 2: expected a label of 0 to 9.*got no label"),
    ],
)
def test_training_stops_at_a_label_that_the_network_does_not_know(
    label: int | None, said: str, tmp_path: Path
) -> None:
    config = override(debug(), {"fit.batch_size": 4, "fit.progress": False})
    with pytest.raises(UserError, match=said):
        train.train_on(Numbered(0, 1, label, 3), config, tmp_path / "run")

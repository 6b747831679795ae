"""Validation of class labels in training data."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from scalable_binding.engine.loading import EndlessDataset
from scalable_binding.errors import UserError
from scalable_binding.rin.model import DROPPED


class CheckedLabels(Dataset[dict[str, Any]]):
    """The examples of a data set, each with a label that the network knows or with -1 for none.

    They are looked at one by one where they are read, on the CPU: the network itself takes a number
    that it does not know for a label that is hidden, since a look at numbers on a GPU would have to
    wait for it.

    Args:
        dataset: whose examples have a "label".
        num_classes: of the network.
    """

    def __init__(self, dataset: EndlessDataset, num_classes: int) -> None:
        self._dataset = dataset
        self._num_classes = num_classes

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The example.

        Raises:
            UserError: it has no label, or a class that the network does not know.
        """
        example = self._dataset[index]
        most = self._num_classes - 1
        if "label" not in example:
            expected = f"a label of 0 to {most}, or {DROPPED} for none"
            raise UserError(f"training example {index}", expected=expected, got="no label")
        label = int(example["label"])
        if label != DROPPED and not 0 <= label <= most:
            raise UserError(
                f"label of training example {index}",
                expected=f"0 to {most}, or {DROPPED} for none",
                got=str(label),
                fix="set model.num_classes to one more than the largest label",
            )
        return example

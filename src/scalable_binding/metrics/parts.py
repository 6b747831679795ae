"""Mean intersection over union of part labels, by the protocol of VIP."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from scalable_binding.errors import UserError

VIP_CLASSES = (
    "background", "hat", "hair", "sun-glasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "gloves", "scarf", "skirt", "torso-skin", "face", "right-arm", "left-arm", "right-leg",
    "left-leg", "right-shoe", "left-shoe",
)  # fmt: skip
"""Names of VIP's 20 classes, in the order of their labels."""


class MeanIoU:
    """Mean intersection over union of classes, from one histogram over a whole data set.

    With N[i, j] pixels of true class i and predicted class j, class i scores

        IoU_i = N[i, i] / (sum_j N[i, j] + sum_j N[j, i] - N[i, i])

    and classes that are neither true nor predicted anywhere do not count. Pixels whose true label
    is not a class (255, say) are left out.

    Source: the public evaluation of VIP (Zhou et al., ACM MM 2018).
    """

    def __init__(self, num_classes: int = len(VIP_CLASSES)) -> None:
        self.num_classes = num_classes
        self.counts: Int[Tensor, "c c"] = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, prediction: UInt8[Tensor, "*_"], truth: UInt8[Tensor, "*shape"]) -> None:
        """Count the pixels of one frame, or of any number of them.

        Raises:
            UserError: sizes differ, or a predicted label is not a class.
        """
        if prediction.shape != truth.shape:
            raise UserError(
                "predicted part labels",
                expected=f"shape {tuple(truth.shape)}",
                got=f"shape {tuple(prediction.shape)}",
            )
        if prediction.numel() and int(prediction.amax()) >= self.num_classes:
            raise UserError(
                "predicted part labels",
                expected=f"labels 0 to {self.num_classes - 1}",
                got=f"label {int(prediction.amax())}",
            )
        is_class = truth < self.num_classes
        cells = truth[is_class].long() * self.num_classes + prediction[is_class].long()
        counted = cells.bincount(minlength=self.num_classes**2).cpu()
        self.counts += counted.reshape(self.num_classes, self.num_classes)

    def per_class(self) -> Float[Tensor, " c"]:
        """Intersection over union of each class in [0, 1]; NaN for a class seen nowhere."""
        shared = self.counts.diagonal().double()
        return shared / (self.counts.sum(0) + self.counts.sum(1) - shared)

    def compute(self) -> float:
        """Mean over the classes seen so far, background among them.

        Raises:
            UserError: nothing was counted.
        """
        if not bool(self.counts.any()):
            raise UserError("part labels to score", expected="at least one pixel", got="none")
        return float(self.per_class().nanmean())

"""Running mean and standard deviation of a stream of numbers, for normalizing others."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

STD_FLOOR = 1e-4


class RunningMeanStd:
    """Running mean and variance (float64), one pair for each group of numbers.

    Args:
        num_groups: how many streams are told apart, such as one for each task.

    Source: Chan et al., Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances, 1979.
    """

    def __init__(self, num_groups: int = 1) -> None:
        self.count, self.mean, self.squares = torch.zeros(3, num_groups, dtype=torch.float64)

    @property
    def std(self) -> Float[Tensor, " g"]:
        """The standard deviation of each group; 0 before anything was seen."""
        return (self.squares / self.count.clamp(min=1)).sqrt()

    def update(
        self, values: Float[Tensor, " n"], groups: Int64[Tensor, " n"] | None = None
    ) -> None:
        """Take in further numbers of the given groups; of the only one by default."""
        if groups is None:
            groups = torch.zeros(len(values), dtype=torch.int64)
        values, zeros = values.double(), torch.zeros_like(self.mean)
        count = zeros.index_add(0, groups, torch.ones_like(values))
        mean = zeros.index_add(0, groups, values) / count.clamp(min=1)
        squares = zeros.index_add(0, groups, (values - mean[groups]).square())
        total = self.count + count
        share = count / total.clamp(min=1)
        shift = mean - self.mean
        self.squares += squares + shift.square() * self.count * share
        self.mean += shift * share
        self.count = total

    def normalize(
        self, values: Float[Tensor, " n"], groups: Int64[Tensor, " n"] | None = None
    ) -> Float[Tensor, " n"]:
        """(x - mean) / std; numbers of a group that has seen none stay as they are."""
        std = torch.where(self.count > 0, self.std.clamp(min=STD_FLOOR), 1.0)
        if groups is None:
            return (values - self.mean[0]) / std[0]
        return ((values - self.mean[groups]) / std[groups]).to(values.dtype)

    def reset(self) -> None:
        """Forget all numbers."""
        for statistic in (self.count, self.mean, self.squares):
            statistic.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Count, mean and sum of squared deviations of each group."""
        return {"count": self.count, "mean": self.mean, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from other statistics."""
        self.count, self.mean = state["count"].clone(), state["mean"].clone()
        self.squares = state["squares"].clone()

"""Statistics of the features of a set of samples: what distances between sets are made of.

They add up: over batches, and over the processes of a run.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from scalable_binding.errors import UserError


class FeatureStatistics:
    """Count, sum and sum of outer products of feature vectors in float64, and some of the vectors.

    | mean = S / n
    | covariance = (P - n mean mean^T) / (n - 1)

    Args:
        width: length d of a feature vector.
        keep: how many vectors to keep, the first ones that come; for what the sums do not tell
            (kernel distance, precision and recall).

    Raises:
        UserError: from the properties, there were too few samples.
    """

    def __init__(self, width: int, *, keep: int = 10_000) -> None:
        self.keep = keep
        self.count = 0
        self.total: Float64[Tensor, " d"] = torch.zeros(width, dtype=torch.float64)
        self.products: Float64[Tensor, "d d"] = torch.zeros(width, width, dtype=torch.float64)
        self._kept: list[Float32[Tensor, "_ d"]] = []

    @property
    def width(self) -> int:
        """The length of a feature vector."""
        return len(self.total)

    @property
    def vectors(self) -> Float32[Tensor, "n d"]:
        """The feature vectors that were kept, on the CPU."""
        if not self._kept:
            return torch.zeros(0, self.width)
        return torch.cat(self._kept)

    @property
    def mean(self) -> Float64[Tensor, " d"]:
        """The mean feature vector."""
        self._check_count(1, "a mean")
        return self.total / self.count

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """The unbiased covariance, singular with no more than d samples."""
        self._check_count(2, "a covariance")
        mean = self.mean
        return (self.products - self.count * torch.outer(mean, mean)) / (self.count - 1)

    def update(self, features: Float[Tensor, "b d"]) -> None:
        """Take in the features of more samples.

        Raises:
            UserError: some of them are infinite or not a number.
        """
        features = features.detach().cpu()
        if not bool(features.isfinite().all()):
            raise UserError("features of samples", expected="finite numbers", got="others")
        missing = self.keep - sum(map(len, self._kept))
        if missing > 0:
            self._kept.append(features[:missing].float())
        wide = features.double()
        self.count += len(wide)
        self.total += wide.sum(dim=0)
        self.products += wide.T @ wide

    def restore(self, vectors: Float32[Tensor, "n d"]) -> None:
        """Put vectors in the place of those that were kept."""
        self._kept = [vectors[: self.keep]]

    def all_reduce(self) -> None:
        """Make every process of the run hold the statistics of all of them together."""
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return
        count = torch.tensor([self.count], dtype=torch.int64)
        for tensor in (count, self.total, self.products):
            dist.all_reduce(tensor)
        self.count = int(count)
        self.restore(gather(self.vectors))

    def _check_count(self, least: int, what: str) -> None:
        if self.count < least:
            plural = "s" if least > 1 else ""
            raise UserError(
                f"{what} of features",
                expected=f"at least {least} sample{plural}",
                got=str(self.count),
            )


def gather(rows: Tensor) -> Tensor:
    """The rows of every process, those of the first one first; their numbers may differ."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    counts[dist.get_rank()] = len(rows)
    dist.all_reduce(counts)
    padded = torch.zeros(int(counts.max()), *rows.shape[1:], dtype=rows.dtype)
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, counts.tolist(), strict=True)])

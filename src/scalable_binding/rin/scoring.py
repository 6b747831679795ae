"""Sample scores: Frechet distance, kernel distance, precision/recall, inception score, accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import torch
import torch.distributed as dist
from jaxtyping import Int64, UInt8
from torch import Generator, Tensor

from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.metrics.frechet import frechet_distance
from scalable_binding.metrics.inception import InceptionScore
from scalable_binding.metrics.kernel import kernel_distance
from scalable_binding.metrics.manifold import precision_recall
from scalable_binding.rin.features import Features

KEEP = 10_000
"""Feature vectors that are kept for kernel distance, precision and recall."""


class SampleScores:
    """What is gathered of samples, batch by batch, and added up over the processes of a run.

    Args:
        features: the network that samples are compared by.
        judges_classes: whether its classes are those that the samples are of.
    """

    def __init__(self, features: Features, *, judges_classes: bool = False) -> None:
        self.features = features
        self.statistics = FeatureStatistics(features.width, keep=KEEP)
        self._judges_classes = judges_classes
        self._inception: InceptionScore | None = None
        self._right: Int64[Tensor, "2"] = torch.zeros(2, dtype=torch.int64)

    def update(
        self, samples: UInt8[Tensor, "b c *size"], classes: Int64[Tensor, " b"] | None = None
    ) -> None:
        """Take in samples, and the classes that they should be of (-1: none)."""
        found = self.features(samples)
        self.statistics.update(found.features)
        if found.logits is None:
            return
        if self._inception is None:
            self._inception = InceptionScore(found.logits.shape[1])
        self._inception.update(found.logits)
        if self._judges_classes and classes is not None:
            told = classes >= 0
            right = found.logits.argmax(dim=1).cpu() == classes
            self._right += torch.stack([(right & told).sum(), told.sum()])

    def all_reduce(self) -> None:
        """Make every process of the run hold what all of them gathered."""
        self.statistics.all_reduce()
        if self._inception is not None:
            self._inception.all_reduce()
        if dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(self._right)

    def compute(self, reference: FeatureStatistics, *, seed: int = 0) -> dict[str, float]:
        """Named scores against the statistics of real data.

        Raises:
            UserError: too few samples, or statistics of another network.
        """
        scores = {"frechet": frechet_distance(reference, self.statistics)}
        real, generated = reference.vectors, self.statistics.vectors
        kernel = kernel_distance(real, generated, Generator().manual_seed(seed))
        scores |= {"kernel": kernel.mean, "kernel_deviation": kernel.deviation}
        count = min(len(real), len(generated))
        if len(real) != len(generated):
            real, generated = real[:count], generated[:count]
        scores |= asdict(precision_recall(real, generated))
        if self._inception is not None:
            scores["inception_score"] = self._inception.compute()
        right, told = self._right.tolist()
        if told:
            scores["class_accuracy"] = right / told
        return scores


def describe(
    features: Features, batches: Iterable[UInt8[Tensor, "_ c *size"]]
) -> FeatureStatistics:
    """The statistics of samples' features."""
    statistics = FeatureStatistics(features.width, keep=KEEP)
    for samples in batches:
        statistics.update(features(samples).features)
    return statistics

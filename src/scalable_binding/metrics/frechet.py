"""The Fréchet distance between Gaussians with the moments of two sets of features (FID, FVD)."""

from __future__ import annotations

import warnings

import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.errors import UserError
from scalable_binding.metrics.features import FeatureStatistics


class FewSamplesWarning(UserWarning):
    """A covariance is of rank below its size, and the distance larger than with more samples."""


def frechet_distance(first: FeatureStatistics, second: FeatureStatistics) -> float:
    """The Fréchet distance between two sets of samples; warns when either is small.

    The distance falls with the number of samples: compare only scores of equal numbers.

    Raises:
        UserError: fewer than two samples, or features of different networks.

    Source: Heusel et al., 2017 (images); Unterthiner et al., 2018 (video).
    """
    if first.width != second.width:
        raise UserError(
            "features to compare", expected=f"{first.width} numbers each", got=str(second.width)
        )
    covariances = first.covariance, second.covariance
    fewest = min(first.count, second.count)
    if fewest <= first.width:
        message = (
            f"{fewest} samples are too few for the covariance of {first.width} features: "
            f"the Fréchet distance is far too large; take more than {first.width}, best 10 times"
        )
        warnings.warn(message, FewSamplesWarning, stacklevel=2)
    return gaussian_distance(first.mean, covariances[0], second.mean, covariances[1])


def gaussian_distance(
    first_mean: Float64[Tensor, " d"],
    first_covariance: Float64[Tensor, "d d"],
    second_mean: Float64[Tensor, " d"],
    second_covariance: Float64[Tensor, "d d"],
) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2)).

    The root of the product C1 C2 itself, which is not symmetric, needs a general matrix root with
    complex parts to drop; this form, equal to it, needs eigenvalues of symmetric matrices alone.
    """
    values, vectors = torch.linalg.eigh(first_covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    between = root @ second_covariance @ root
    shared = torch.linalg.eigvalsh((between + between.T) / 2).clamp(min=0).sqrt().sum()
    apart = (first_mean - second_mean).square().sum()
    distance = apart + first_covariance.trace() + second_covariance.trace() - 2 * shared
    return max(0.0, float(distance))

"""Whitening: a linear map after which every direction of a feature has the same variance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from scalable_binding.nn.precision import without_autocast

SHRINKAGE = 0.3
"""Share of the mean variance added to every direction's, so that faint ones do not become noise."""


class Whitening(nn.Module):
    """PCA whitening: ``y = A (x - mean)``.

    The rows of A are the leading principal axes of the covariance that :meth:`fit` got, each
    divided by the standard deviation along it. Before that A takes the first numbers of x as they
    are, and :attr:`is_fitted` is false.

    Args:
        width: numbers of x.
        components: numbers of y, if x has more; else as many as x.
    """

    mean: Tensor
    axes: Tensor
    fitted: Tensor

    def __init__(self, width: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        axes = torch.zeros(min(components, width), width).fill_diagonal_(1.0)
        self.register_buffer("axes", axes)
        self.register_buffer("fitted", torch.zeros((), dtype=torch.int64))

    @property
    def is_fitted(self) -> bool:
        """Whether :meth:`fit` gave it statistics, now or before it was saved."""
        return bool(self.fitted)

    @torch.no_grad()
    def fit(self, mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"]) -> None:
        """Whiten what has this mean and covariance, in float64 for accuracy."""
        variances, axes = torch.linalg.eigh(covariance)  # in rising order
        deviations = (variances.clamp(min=0) + SHRINKAGE * variances.mean()).sqrt()
        self.mean.copy_(mean)
        self.axes.copy_((axes / deviations).mT.flip(0)[: len(self.axes)])
        self.fitted.fill_(1)

    def forward(self, x: Float[Tensor, "b d h w"]) -> Float[Tensor, "b k h w"]:
        """The components of every cell, in float32."""
        with without_autocast(x.device.type):
            centered = x.float().flatten(2) - self.mean[:, None]
            return (self.axes @ centered).unflatten(2, x.shape[2:])

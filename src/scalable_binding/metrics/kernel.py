"""The kernel distance (KID): how far apart two sets of features are, without bias."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.errors import UserError


@dataclass(frozen=True, kw_only=True)
class KernelDistance:
    """The squared maximum mean discrepancy: mean and standard deviation over subsets."""

    mean: float
    deviation: float
    subset_size: int


def kernel_distance(
    first: Float[Tensor, "n d"],
    second: Float[Tensor, "m d"],
    generator: Generator,
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
) -> KernelDistance:
    """The kernel distance over random subsets of both sets, 0 on average when they are alike.

    A subset is never larger than half of the smaller set, so that subsets differ; its size is part
    of the result.

    Raises:
        UserError: fewer than 4 samples in either set.

    Source: Binkowski et al., 2018.
    """
    smaller = min(len(first), len(second))
    if smaller < 4:
        raise UserError("kernel distance", expected="at least 4 samples", got=str(smaller))
    size = min(subset_size, smaller // 2)
    values = torch.stack(
        [
            mmd(
                first[torch.randperm(len(first), generator=generator)[:size]].double(),
                second[torch.randperm(len(second), generator=generator)[:size]].double(),
            )
            for _ in range(num_subsets)
        ]
    )
    deviation = float(values.std()) if num_subsets > 1 else 0.0
    return KernelDistance(mean=float(values.mean()), deviation=deviation, subset_size=size)


def mmd(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """The unbiased estimate of the squared maximum mean discrepancy with k = (x y / d + 1)^3."""
    within = [_off_diagonal_mean(_kernel(rows, rows)) for rows in (first, second)]
    return within[0] + within[1] - 2 * _kernel(first, second).mean()


def _kernel(first: Float[Tensor, "n d"], second: Float[Tensor, "m d"]) -> Float[Tensor, "n m"]:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _off_diagonal_mean(square: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    count = len(square)
    return (square.sum() - square.trace()) / (count * (count - 1))

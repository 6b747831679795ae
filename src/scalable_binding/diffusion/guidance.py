"""Classifier-free guidance."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.errors import UserError


class BatchedCarry(Protocol):
    """What a guided denoiser remembers from step to step, one entry per sample."""

    def __len__(self) -> int:
        """Samples that it is of."""
        ...

    def take(self, count: int) -> BatchedCarry:
        """That of the first ``count`` samples."""
        ...

    def twice(self) -> BatchedCarry:
        """That of the samples, and the same once more after them."""
        ...


def guide(
    denoise: Denoise,
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
    *,
    shares_carry: bool = False,
) -> Denoise:
    """Classifier-free guidance: a denoiser of b samples from a conditional one of 2 b.

    ``prediction = without + scale (with - without)``. That combines eps, x and v alike, since each
    is an affine function of the others. Both halves run in one batch. Where no sample is within the
    interval, only the conditional half is computed.

    Args:
        denoise: of 2 b samples, b with their condition and then b without, or of the first b alone.
            Its carry is a :class:`BatchedCarry` or None.
        scale: 1 is the conditional model, 0 the unconditional one, above 1 exaggerates.
        interval: guide only where gamma is within; elsewhere the model is the conditional one.
        shares_carry: give the carry of the conditional half to both halves, as the RIN authors do,
            instead of one of its own to each.

    Raises:
        UserError: an interval that is not within [0, 1] or is empty.

    Source: Ho & Salimans, Classifier-Free Diffusion Guidance; the interval: Kynkäänniemi et al.,
    Applying Guidance in a Limited Interval. Thesis 2.5 names guidance as future work.
    """
    low, high = interval
    if not 0 <= low < high <= 1:
        raise UserError(
            "interval of guidance", expected="0 <= low < high <= 1", got=f"{low}, {high}"
        )

    def guided(x: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        b = len(x)
        is_guided = (gamma >= low) & (gamma <= high)
        if (low, high) != (0.0, 1.0) and not is_guided.any():
            return denoise(x, gamma, None if carry is None else carry.take(b))
        if carry is not None and (shares_carry or len(carry) == b):
            carry = carry.take(b).twice()
        predictions, carry = denoise(torch.cat([x, x]), torch.cat([gamma, gamma]), carry)
        with_condition, without = predictions.chunk(2)
        weight = torch.where(is_guided, scale, 1.0).to(x.dtype)
        weight = weight.view(-1, *(1 for _ in x.shape[1:]))
        return without + weight * (with_condition - without), carry

    return guided

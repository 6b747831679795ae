"""Classifier-free guidance."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.errors import UserError


def guide(denoise: Denoise, scale: float, interval: tuple[float, float] = (0.0, 1.0)) -> Denoise:
    """Classifier-free guidance: a denoiser of b samples from a conditional one of 2 b.

    ``prediction = without + scale (with - without)``. That combines eps, x and v alike, since each
    is an affine function of the others. Both halves run in one batch, and the carry holds both.

    Args:
        denoise: knows the conditions; the second half of its batch has none.
        scale: 1 is the conditional model, 0 the unconditional one, above 1 exaggerates.
        interval: guide only where gamma is within; elsewhere the model is the conditional one.

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
        predictions, carry = denoise(torch.cat([x, x]), torch.cat([gamma, gamma]), carry)
        with_condition, without = predictions.chunk(2)
        is_guided = (gamma >= low) & (gamma <= high)
        weight = torch.where(is_guided, scale, 1.0).to(x.dtype)
        weight = weight.view(-1, *(1 for _ in x.shape[1:]))
        return without + weight * (with_condition - without), carry

    return guided

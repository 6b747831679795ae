"""Inpainting: sample the unknown part of a signal, given the known part."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from scalable_binding.diffusion import targets
from scalable_binding.diffusion.samplers import Denoise
from scalable_binding.diffusion.targets import Target


def with_known(
    denoise: Denoise,
    values: Float[Tensor, "b *size"],
    known: Bool[Tensor, "b *size"],
    target: Target,
) -> Denoise:
    """A denoiser that predicts the known values exactly and the others as before.

    Whatever the sampler, the known part of ``x_t`` then follows the forward process of its values,
    and the network sees it at the same noise level as what it fills in (the replacement method).

    Args:
        denoise: the model.
        values: the signal; its unknown part is not looked at.
        known: what of it is given.
        target: what the denoiser predicts.

    Source: Song et al., Score-Based Generative Modeling, I.2; Lugmayr et al., RePaint, without its
    resampling.
    """

    def conditioned(x_t: Tensor, gamma: Tensor, carry: Any) -> tuple[Tensor, Any]:
        prediction, carry = denoise(x_t, gamma, carry)
        given = values.to(x_t)
        exact = targets.from_x(given, targets.to_eps(given, x_t, gamma), gamma, target)
        return torch.where(known.to(x_t.device), exact, prediction.to(x_t.dtype)), carry

    return conditioned

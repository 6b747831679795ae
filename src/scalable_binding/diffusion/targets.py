"""Prediction targets: noise eps, signal x or velocity v, and conversions between them.

With ``x_t = sqrt(gamma) x + sqrt(1 - gamma) eps`` and ``v = sqrt(gamma) eps - sqrt(1 - gamma) x``,
any of the three and x_t give the other two. Everywhere gamma is one number an example, ``(b,)``,
or a single one without a dimension that holds for all of them.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Target = Literal["eps", "x", "v"]

Signal = Float[Tensor, "b *size"]
Gamma = Float[Tensor, "#b"] | Float[Tensor, ""]


def add_noise(x: Signal, eps: Signal, gamma: Gamma) -> Signal:
    """Forward process: ``x_t = sqrt(gamma) x + sqrt(1 - gamma) eps``.

    Source: Thesis Alg. 1.
    """
    signal, noise = _rates(gamma, x)
    return signal * x + noise * eps


def from_x(x: Signal, eps: Signal, gamma: Gamma, target: Target) -> Signal:
    """The prediction target of a signal and its noise."""
    if target == "eps":
        return eps
    if target == "x":
        return x
    signal, noise = _rates(gamma, x)
    return signal * eps - noise * x


def to_x(prediction: Signal, x_t: Signal, gamma: Gamma, target: Target) -> Signal:
    """The signal x implied by a prediction, not clipped."""
    if target == "x":
        return prediction
    signal, noise = _rates(gamma, x_t)
    if target == "eps":
        return (x_t - noise * prediction) / signal
    return signal * x_t - noise * prediction


def to_eps(x: Signal, x_t: Signal, gamma: Gamma) -> Signal:
    """The noise in ``x_t`` if x is its signal."""
    signal, noise = _rates(gamma, x_t)
    return (x_t - signal * x) / noise


def clip(x: Signal, bound: float | None) -> Signal:
    """The signal within +-``bound``, the range of scaled pictures; None leaves it as it is."""
    return x if bound is None else x.clamp(-bound, bound)


def scale(images: Signal, bound: float) -> Signal:
    """Pictures in [0, 1] as signals in +-``bound``, the input scale b.

    Source: Thesis 2.3.1; Chen, On the Importance of Noise Scheduling for Diffusion Models.
    """
    return (2 * images - 1) * bound


def unscale(x: Signal, bound: float) -> Signal:
    """Signals as pictures in [0, 1], the inverse of :func:`scale`."""
    return (x / (2 * bound) + 0.5).clamp(0, 1)


def min_snr_weight(
    gamma: Float[Tensor, " b"], target: Target, limit: float = 5.0, *, bound: float = 1.0
) -> Float[Tensor, " b"]:
    """Min-SNR loss weight of each example.

    With signals in +-``bound`` (the input scale b) the weight is ``min(SNR, limit)`` in terms of
    x / b, with ``SNR = b^2 gamma / (1 - gamma)``; squared errors of eps and v are those of x / b
    times SNR and SNR + b^2.

    Source: Hang et al., Efficient Diffusion Training via Min-SNR Weighting Strategy.
    """
    tiny = torch.finfo(gamma.dtype).tiny
    ratio = bound**2 * gamma / (1 - gamma).clamp(min=tiny)
    if target == "x":
        return ratio.clamp(max=limit)
    if target == "eps":
        return (limit / ratio.clamp(min=tiny)).clamp(max=1)
    return ratio.clamp(max=limit) / (ratio + bound**2)


def _rates(gamma: Gamma, like: Signal) -> tuple[Tensor, Tensor]:
    """Shares of signal and noise, shaped to multiply an example each.

    A tensor without dimensions keeps its own precision and place: it multiplies as a number does.
    """
    signal, noise = gamma.sqrt(), (1 - gamma).sqrt()
    if gamma.ndim == 0:
        return signal, noise
    shape = (-1, *(1 for _ in like.shape[1:]))
    return signal.to(like.dtype).view(shape), noise.to(like.dtype).view(shape)

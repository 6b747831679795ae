"""Discrete data as signals: each number as its bits, -1 or 1, which diffusion then takes as real.

Channels of bits may stand beside channels of anything else, so that one network generates both.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from scalable_binding.errors import UserError


def to_bits(
    numbers: Int64[Tensor, "b *size"] | UInt8[Tensor, "b *size"], num_bits: int
) -> Float[Tensor, "b bits *size"]:
    """The bits of whole numbers in [0, 2^num_bits), most significant first, as -1 or 1.

    Raises:
        UserError: a number needs more bits, or is negative.

    Source: Chen et al., Analog Bits, 2022; the thesis names it as a way to go on (chapter 5).
    """
    largest = 2**num_bits - 1
    low, high = (int(extreme) for extreme in numbers.aminmax())
    if low < 0 or high > largest:
        got = f"{low} to {high}"
        raise UserError(f"numbers of {num_bits} bits", expected=f"0 to {largest}", got=got)
    shifts = torch.arange(num_bits - 1, -1, -1, device=numbers.device)
    bits = (numbers.long()[:, None] >> _along(shifts, numbers.ndim)) & 1
    return 2 * bits.float() - 1


def from_bits(signals: Float[Tensor, "b bits *size"]) -> Int64[Tensor, "b *size"]:
    """The whole numbers whose bits the signals are nearest to."""
    num_bits = signals.shape[1]
    weights = 2 ** torch.arange(num_bits - 1, -1, -1, device=signals.device)
    return ((signals > 0).long() * _along(weights, signals.ndim - 1)).sum(dim=1)


def _along(values: Int64[Tensor, " bits"], ndim: int) -> Int64[Tensor, "..."]:
    return values.view(1, -1, *[1] * (ndim - 1))

"""Recurrent cells."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvGRU(nn.Module):
    """A gated recurrent unit whose products are convolutions, so that its state is a map.

    With * a convolution, and . a product of entries::

        z = sigmoid(W_z * [x, h])              how much is new
        r = sigmoid(W_r * [x, h])              how much of the past is read
        c = tanh(W_c * [x, r . h])             what is new
        h' = (1 - z) . h + z . c

    What is in a place can move by (kernel - 1) / 2 cells a step.

    Args:
        width_in: channels of x.
        width: channels of h.
        kernel: side of the convolutions, odd.

    Source: Ballas et al., ICLR 2016; thesis 3.6.2 ("a sequence encoder").
    """

    def __init__(self, width_in: int, width: int, kernel: int) -> None:
        super().__init__()
        assert kernel % 2 == 1
        self.width = width
        self.gates = nn.Conv2d(width_in + width, 2 * width, kernel, padding=kernel // 2)
        self.candidate = nn.Conv2d(width_in + width, width, kernel, padding=kernel // 2)
        for layer in (self.gates, self.candidate):
            nn.init.orthogonal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
        assert self.gates.bias is not None
        nn.init.constant_(self.gates.bias[:width], -1.0)  # at first, remember more than learn

    def forward(
        self, x: Float[Tensor, "b c h w"], state: Float[Tensor, "b d h w"]
    ) -> Float[Tensor, "b d h w"]:
        """The state after one more input."""
        update, read = self.gates(torch.cat([x, state], dim=1)).sigmoid().chunk(2, dim=1)
        candidate = self.candidate(torch.cat([x, read * state], dim=1)).tanh()
        return state + update * (candidate - state)

    def start(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """The state before the first input: nothing."""
        return x.new_zeros(len(x), self.width, *x.shape[2:])

"""Feed-forward networks (MLP) and stochastic depth."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn import initialization

NORM_EPS = 1e-6


class FeedForward(nn.Module):
    """Pre-norm MLP branch: ``W2 dropout(gelu(W1 LN(x)))``, without the residual.

    Args:
        width: of the tokens.
        expansion: hidden channels by channel.
        dropout: rate of hidden channels that are dropped in training.

    Source: Thesis Alg. 3, the norm inside as in its every use.
    """

    def __init__(self, width: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.expand = initialization.linear(width, expansion * width)
        self.contract = initialization.linear(expansion * width, width)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What is to be added to each token."""
        hidden = self.expand(self.norm(x))
        if self.training and self.dropout > 0:
            return self.contract(functional.dropout(functional.gelu(hidden), self.dropout))
        weight, bias = self.contract.weight, self.contract.bias
        found: Tensor = _GeluLinear.apply(hidden, weight.to(hidden.dtype), bias.to(hidden.dtype))
        return found


class DropPath(nn.Module):
    """Stochastic depth: drops a residual branch for some examples, rescaled for the others.

    Args:
        rate: of examples that go without the branch in training.

    Source: Huang et al., Deep Networks with Stochastic Depth, 2016.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "b *size"]) -> Float[Tensor, "b *size"]:
        """The branch in expectation."""
        if not self.training or self.rate == 0:
            return branch
        ones = torch.ones_like(branch[(slice(None), *([slice(1)] * (branch.ndim - 1)))])
        return branch * functional.dropout(ones, self.rate)


class _GeluLinear(torch.autograd.Function):
    """``W gelu(x) + b``, of which x alone is kept: on the way back its GELU is taken again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.linear(functional.gelu(x), weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        rows = grad.flatten(0, -2)
        to_weight = rows.mT @ functional.gelu(x).flatten(0, -2)
        to_x = torch.ops.aten.gelu_backward(grad @ weight, x)
        return to_x, to_weight, rows.sum(dim=0)


def layer_norm(width: int) -> nn.LayerNorm:
    """A layer norm with the authors' epsilon."""
    return nn.LayerNorm(width, eps=NORM_EPS)

"""What happens to each token by itself: feed-forward networks, and paths that are dropped."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn import initialisation

NORM_EPS = 1e-6


class FeedForward(nn.Module):
    """``W2 dropout(gelu(W1 LN(x)))``, the branch without the x that it is added to.

    Args:
        width: of the tokens.
        expansion: hidden channels by channel.
        dropout: rate of hidden channels that are dropped in training.

    Source: Thesis Alg. 3, the norm inside as in its every use.
    """

    def __init__(self, width: int, expansion: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = layer_norm(width)
        self.expand = initialisation.linear(width, expansion * width)
        self.contract = initialisation.linear(expansion * width, width)
        self.dropout = dropout

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What is to be added to each token."""
        hidden = functional.gelu(self.expand(self.norm(x)))
        if self.dropout > 0:
            hidden = functional.dropout(hidden, self.dropout, self.training)
        return self.contract(hidden)


class DropPath(nn.Module):
    """A branch that is dropped as a whole for some examples, and scaled up for the others.

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


def layer_norm(width: int) -> nn.LayerNorm:
    """A layer norm with the authors' epsilon."""
    return nn.LayerNorm(width, eps=NORM_EPS)

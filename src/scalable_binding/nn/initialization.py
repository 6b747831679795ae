"""Weight initialization."""

from __future__ import annotations

from torch import Tensor, nn

EMBEDDING_STD = 0.02


def glorot_uniform_(weight: Tensor, fan_in: int, fan_out: int) -> None:
    """Glorot (Xavier) uniform initialization: +-sqrt(6 / (fan_in + fan_out))."""
    limit = (6 / (fan_in + fan_out)) ** 0.5
    nn.init.uniform_(weight, -limit, limit)


def linear(width_in: int, width_out: int) -> nn.Linear:
    """A linear layer with Glorot weights and zero bias."""
    layer = nn.Linear(width_in, width_out)
    glorot_uniform_(layer.weight, width_in, width_out)
    nn.init.zeros_(layer.bias)
    return layer


def embedding_(weight: Tensor, std: float = EMBEDDING_STD) -> None:
    """Truncated normal initialization, cut at two standard deviations."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)

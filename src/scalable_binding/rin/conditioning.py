"""Conditioning tokens: noise level, class, and latent self-conditioning."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn import initialization
from scalable_binding.nn.mlp import FeedForward, layer_norm

GAMMA_SCALE = 1000.0
MAX_PERIOD = 10_000.0
STD_EPS = 1e-6


class GammaEmbedding(nn.Module):
    """Noise-level embedding: an MLP of sinusoids of 1000 gamma, as one token.

    The sinusoids are a quarter as wide as the token, and standardized. They are float32 under any
    autocast. Frequency j of ``half`` is ``10000^(-j / half)``.

    Args:
        width: of the token.
        includes_end: space frequencies by ``half - 1`` instead, so that the last is 1 / 10000, as
            runs did before 0.2.

    Source: the authors' code (``get_angles`` and ``positional_encoding``).
    """

    frequencies: Tensor

    def __init__(self, width: int, *, includes_end: bool = False) -> None:
        super().__init__()
        half = width // 8
        intervals = max(half - 1, 1) if includes_end else half
        frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(half) / intervals)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.expand = initialization.linear(2 * half, width)
        self.project = initialization.linear(width, width)

    def forward(self, gamma: Float[Tensor, " b"]) -> Float[Tensor, "b 1 d"]:
        """One token an example."""
        angles = GAMMA_SCALE * gamma.float()[:, None] * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1)
        deviation = waves.std(dim=-1, keepdim=True, correction=0)
        waves = (waves - waves.mean(dim=-1, keepdim=True)) / (deviation + STD_EPS)
        return self.project(functional.silu(self.expand(waves)))[:, None]


class ClassEmbedding(nn.Module):
    """Class embedding: one-hot times a matrix, plus a bias, as one token.

    A dropped label, -1, is a vector of zeros in place of the one-hot one.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.project = initialization.linear(num_classes, width)

    def forward(self, classes: Int64[Tensor, " b"]) -> Float[Tensor, "b 1 d"]:
        """One token an example."""
        # Comparing needs no look at the numbers, for which a device would have to be waited for.
        numbers = torch.arange(self.num_classes, device=classes.device)
        one_hot = (classes[:, None] == numbers).to(self.project.weight.dtype)
        return self.project(one_hot)[:, None]


class SelfConditioning(nn.Module):
    """Latent self-conditioning: ``LN(prev + FFN(prev))`` of the previous step's latents.

    Scale and bias of the norm start at 0, so that at first nothing is taken over.

    Source: Thesis 2.2.3 and Alg. 3.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.ffn = FeedForward(width, expansion)
        self.norm = layer_norm(width)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, previous: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What is to be added; no gradient goes back to the previous step."""
        previous = previous.detach()
        return self.norm(previous + self.ffn(previous))

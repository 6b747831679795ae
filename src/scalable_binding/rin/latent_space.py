"""Latent diffusion: train and sample in the code space of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.rin import objective
from scalable_binding.rin.objective import Batch


@runtime_checkable
class Autoencoder(Protocol):
    """Pictures in [-1, 1] to codes and back."""

    def encode(self, pictures: Tensor, /) -> Tensor:
        """The codes."""
        ...

    def decode(self, codes: Tensor, /) -> Tensor:
        """The pictures."""
        ...


@dataclass(frozen=True)
class LatentSpace:
    """An autoencoder's codes, standardized so that noise of variance 1 fits them.

    An instance is the ``encode`` of :func:`scalable_binding.rin.objective.loss`.
    """

    autoencoder: Autoencoder
    mean: Float[Tensor, " c"]
    std: Float[Tensor, " c"]

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Float[Tensor, "b c *size"]:
        """The codes of a batch of pictures, standardized channel by channel."""
        codes = self.autoencoder.encode(objective.pictures(batch))
        return (codes - _channels(self.mean, codes)) / _channels(self.std, codes)

    @torch.no_grad()
    def decode(self, codes: Float[Tensor, "b c *size"]) -> Float[Tensor, "b k *sides"]:
        """The pictures, in [-1, 1], of standardized codes: of samples divided by their scale."""
        raw = codes * _channels(self.std, codes) + _channels(self.mean, codes)
        return self.autoencoder.decode(raw).clamp(-1, 1)


@torch.no_grad()
def measure(autoencoder: Autoencoder, batch: Batch) -> LatentSpace:
    """The latent space with mean and deviation of each channel as in a batch of pictures."""
    codes = autoencoder.encode(objective.pictures(batch)).transpose(0, 1).flatten(1)
    std = codes.std(dim=1).clamp(min=torch.finfo(codes.dtype).eps)
    return LatentSpace(autoencoder, codes.mean(dim=1), std)


def _channels(values: Float[Tensor, " c"], like: Tensor) -> Tensor:
    return values.to(like.device).view(1, -1, *[1] * (like.ndim - 2))

"""Standard normal noise with one generator per sample.

A sample whose noise comes from a generator of its own is the same in whatever batch it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from scalable_binding.engine import randomness


def generators(
    seed: int, indices: Iterable[int], device: torch.device | str = "cpu"
) -> list[Generator]:
    """One random generator per sample, determined by the seed and the sample's number."""
    return [randomness.generator(seed, index, device=device) for index in indices]


def sample_noise(
    generators: Sequence[Generator], size: Sequence[int], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b *size"]:
    """Standard normal noise of ``size`` from each generator, on the generators' device."""
    return torch.stack(
        [torch.randn(*size, generator=g, device=g.device, dtype=dtype) for g in generators]
    )


def sample_noise_like(
    x: Float[Tensor, "b *size"], generators: Generator | Sequence[Generator]
) -> Float[Tensor, "b *size"]:
    """Standard normal noise like ``x``, from one generator or one per sample."""
    if isinstance(generators, Generator):
        device = generators.device
        noise = torch.randn(x.shape, generator=generators, device=device, dtype=x.dtype)
    else:
        assert len(generators) == len(x)
        noise = sample_noise(generators, x.shape[1:], x.dtype)
    return noise.to(x.device)

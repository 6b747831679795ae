"""Standard normal noise, drawn for each sample by itself.

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
    """A generator for each sample, a function of the seed and of the sample's number."""
    return [randomness.generator(seed, index, device=device) for index in indices]


def draw(
    generators: Sequence[Generator], size: Sequence[int], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "b *size"]:
    """Noise of this size from each generator, on the generators' device."""
    return torch.stack(
        [torch.randn(*size, generator=g, device=g.device, dtype=dtype) for g in generators]
    )


def draw_like(
    x: Float[Tensor, "b *size"], generators: Generator | Sequence[Generator]
) -> Float[Tensor, "b *size"]:
    """Noise of the shape, kind and place of ``x``, from one generator or one for each sample."""
    if isinstance(generators, Generator):
        device = generators.device
        noise = torch.randn(x.shape, generator=generators, device=device, dtype=x.dtype)
    else:
        assert len(generators) == len(x)
        noise = draw(generators, x.shape[1:], x.dtype)
    return noise.to(x.device)

"""Patch embedding of signals of one, two or three dimensions: patchify and unpatchify.

A signal is ``(b c *size)``: samples, an image or a video ``(b c t h w)``. Tokens come row by row,
the last dimension fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from scalable_binding.errors import UserError
from scalable_binding.nn import initialization
from scalable_binding.nn.mlp import layer_norm


def grid_of(size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """How many patches lie along each dimension.

    Raises:
        UserError: not as many sides, not one to three, or sides that patches do not divide.
    """
    sides, cuts = _times(size), _times(patch)
    if not 1 <= len(size) == len(patch) <= 3:
        expected = f"as many sides as size {sides} has, which are one to three"
        raise UserError(f"patch {cuts}", expected=expected, got=str(len(patch)))
    if min(*size, *patch, 1) < 1 or any(s % p for s, p in zip(size, patch, strict=True)):
        raise UserError(f"size {sides}", expected=f"multiples of the patch {cuts}", got=sides)
    return tuple(s // p for s, p in zip(size, patch, strict=True))


def cut(x: Float[Tensor, "b c *size"], patch: Sequence[int]) -> Float[Tensor, "b n d"]:
    """Patchify: the patches of a signal as vectors of c x patch values."""
    places, insides = _axes(patch)
    sides = " ".join(f"({g} {p})" for g, p in zip(places, insides, strict=True))
    pattern = f"b c {sides} -> b ({' '.join(places)}) (c {' '.join(insides)})"
    return rearrange(x, pattern, **dict(zip(insides, patch, strict=True)))


def join(
    tokens: Float[Tensor, "b n d"], grid: Sequence[int], patch: Sequence[int]
) -> Float[Tensor, "b c *size"]:
    """Unpatchify: the signal of a grid of patches; inverse of :func:`cut`."""
    places, insides = _axes(patch)
    sides = " ".join(f"({g} {p})" for g, p in zip(places, insides, strict=True))
    pattern = f"b ({' '.join(places)}) (c {' '.join(insides)}) -> b c {sides}"
    lengths = dict(zip([*places, *insides], [*grid, *patch], strict=True))
    return rearrange(tokens, pattern, **lengths)


class PatchEmbedding(nn.Module):
    """Patch embedding with learned positions: ``LN(W patch + bias) + position``.

    Args:
        size: of the signals.
        channels: of the signals.
        patch: as many sides as ``size``, each dividing its own.
        width: of the tokens.
        position_std: deviation of the positions at the start.
        smooth_positions: begin with waves along each axis, so that neighbors are alike, and not
            with positions drawn each by itself.

    Raises:
        UserError: sides that patches do not divide.

    Source: Thesis Alg. 3.
    """

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        patch: Sequence[int],
        width: int,
        *,
        position_std: float = initialization.EMBEDDING_STD,
        smooth_positions: bool = False,
    ) -> None:
        super().__init__()
        self.grid = grid_of(size, patch)
        self.patch = tuple(patch)
        area = math.prod(patch)
        self.project = nn.Linear(channels * area, width)
        self.norm = layer_norm(width)
        self.positions = nn.Parameter(torch.empty(math.prod(self.grid), width))
        # Fans of the convolution that this product is.
        initialization.glorot_uniform_(self.project.weight, area * channels, area * width)
        nn.init.zeros_(self.project.bias)
        if smooth_positions:
            waves = waves_of(self.grid, width)
            with torch.no_grad():
                self.positions.copy_(position_std * waves)
        else:
            initialization.embedding_(self.positions, position_std)

    def forward(self, x: Float[Tensor, "b c *size"]) -> Float[Tensor, "b n d"]:
        """A token for each patch."""
        # Under autocast a CPU would leave the norm in bfloat16.
        return self.norm(self.project(cut(x, self.patch)).float()) + self.positions


def waves_of(grid: Sequence[int], width: int) -> Float[Tensor, "n width"]:
    """Sinusoidal position embedding of a grid, its channels split among the axes.

    Of one axis these are ``sqrt(2) sin(pi x f)`` and ``sqrt(2) cos(pi x f)``, where x in (0, 1) is
    the patch's middle and f = 1, sqrt(2), 2, ...
    """
    parts = []
    for axis, cells in enumerate(grid):
        numbers = width * (axis + 1) // len(grid) - width * axis // len(grid)
        frequencies = 2 ** (torch.arange((numbers + 1) // 2) / 2)
        angles = math.pi * (torch.arange(cells) + 0.5).div(cells).outer(frequencies)
        waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :numbers]
        shape = [1] * len(grid) + [numbers]
        shape[axis] = cells
        parts.append(math.sqrt(2) * waves.view(shape).expand(*grid, numbers))
    return torch.cat(parts, dim=-1).flatten(0, -2)


def _axes(patch: Sequence[int]) -> tuple[list[str], list[str]]:
    """Names of the dimensions of a grid and of a patch."""
    return [f"g{i}" for i in range(len(patch))], [f"p{i}" for i in range(len(patch))]


def _times(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))

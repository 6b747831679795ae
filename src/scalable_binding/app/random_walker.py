"""A random walker on the grid of a picture: the solver, connected parts, and colors to compare."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

Map = Float[Tensor, "h w"]


def reached(seeds: Bool[Tensor, "h w"], inside: Bool[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """The pixels of ``inside`` that hang together, over all eight neighbors, with a seed in it."""
    mask = inside.float()
    current = (seeds & inside).float()
    while True:
        grown = current
        for _ in range(16):
            grown = functional.max_pool2d(grown[None, None], 3, 1, 1)[0, 0] * mask
        if bool((grown == current).all()):
            return grown > 0
        current = grown


def random_walk(
    across: Float[Tensor, "h w1"],
    down: Float[Tensor, "h1 w"],
    weight: Map,
    target: Map,
    start: Map,
    iterations: int,
) -> Map:
    """Minimize ``sum w_ij (x_i - x_j)^2 + sum weight_i (x_i - target_i)^2`` over a grid.

    By conjugate gradients with a diagonal preconditioner, from ``start``.

    Source: Grady, CVPR 2005.
    """

    def multiply(x: Map) -> Map:
        right, below = across * x.diff(dim=1), down * x.diff(dim=0)
        product = weight * x
        product[:, :-1] -= right
        product[:, 1:] += right
        product[:-1] -= below
        product[1:] += below
        return product

    diagonal = weight.clone()
    diagonal[:, :-1] += across
    diagonal[:, 1:] += across
    diagonal[:-1] += down
    diagonal[1:] += down
    found = start.clone()
    residual = weight * target - multiply(found)
    step = residual / diagonal
    energy = (residual * step).sum()
    for _ in range(iterations):
        product = multiply(step)
        length = energy / (step * product).sum().clamp(min=1e-20)
        found += length * step
        residual -= length * product
        scaled = residual / diagonal
        before, energy = energy, (residual * scaled).sum()
        if float(energy) < 1e-8:
            break
        step = scaled + energy / before * step
    return found


def lab(rgb: Float[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    """CIE L*a*b* of sRGB colors in [0, 1], divided by 100 (D65 white)."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = torch.tensor(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    xyz = torch.einsum("i c, c h w -> i h w", to_xyz, linear)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root
    return torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)])

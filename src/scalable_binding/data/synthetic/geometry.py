"""Invertible maps of the plane: affine ones as matrices, and waves.

A surface point goes through a chain of maps from its part to the screen. Every map has a
closed-form inverse, so both directions, and with them optical flow, are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

Points = tuple[Float[Tensor, "..."], Float[Tensor, "..."]]
"""x and y, of shapes that broadcast: (1 w) and (h 1) stand for all pixels of a frame."""


def affine(
    center: Float64[Tensor, "*s 2"],
    angle: Float64[Tensor, "*s"],
    scale: Float64[Tensor, "*s 2"],
) -> Float64[Tensor, "*s 3 3"]:
    """Matrices that scale along x and y, then rotate by ``angle`` (radians), then move."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.zeros(*angle.shape, 3, 3, dtype=torch.float64)
    matrix[..., 0, 0] = cos * scale[..., 0]
    matrix[..., 0, 1] = -sin * scale[..., 1]
    matrix[..., 1, 0] = sin * scale[..., 0]
    matrix[..., 1, 1] = cos * scale[..., 1]
    matrix[..., :2, 2] = center
    matrix[..., 2, 2] = 1
    return matrix


def apply(matrix: Float64[Tensor, "3 3"], points: Points) -> Points:
    """The points under one affine map."""
    x, y = points
    (a, b, c), (d, e, f), _ = matrix.tolist()
    return a * x + (b * y + c), d * x + (e * y + f)


def apply_each(
    matrices: Float64[Tensor, "*#s 3 3"], points: Float64[Tensor, "*#s n 2"]
) -> Float64[Tensor, "*s n 2"]:
    """Each set of points under its own affine map."""
    return points @ matrices[..., :2, :2].mT + matrices[..., None, :2, 2]


def magnification(matrix: Float64[Tensor, "*s 3 3"]) -> Float64[Tensor, "*s"]:
    """The factor by which lengths grow, as the root of the factor for areas."""
    return torch.linalg.det(matrix[..., :2, :2]).abs().sqrt()


@dataclass(frozen=True)
class Waves:
    """Traveling waves that bend a surface: q -> q + shift sin(<wavevector, q> + phase).

    A shift is perpendicular to its wavevector. The wave therefore leaves its own argument alone,
    and its inverse is the same wave subtracted. Waves are applied one after another.
    """

    wavevector: Float64[Tensor, "waves 2"]
    shift: Float64[Tensor, "waves 2"]
    rate: Float64[Tensor, "waves"]
    phase: Float64[Tensor, "waves"]

    def phases(self, times: Float64[Tensor, "t"]) -> Float64[Tensor, "t waves"]:
        """The phase of every wave at every time."""
        return self.phase + times[:, None] * self.rate

    def bend(self, points: Points, phases: Float64[Tensor, "*s waves"]) -> Points:
        """The points after the waves; ``phases`` may have leading axes that broadcast."""
        for wave in range(len(self.rate)):
            points = self._displace(points, wave, phases, 1.0)
        return points

    def straighten(self, points: Points, phases: Float64[Tensor, "*s waves"]) -> Points:
        """The points before the waves: the inverse of ``bend``."""
        for wave in reversed(range(len(self.rate))):
            points = self._displace(points, wave, phases, -1.0)
        return points

    def _displace(
        self, points: Points, wave: int, phases: Float64[Tensor, "*s waves"], sign: float
    ) -> Points:
        x, y = points
        (kx, ky), (sx, sy) = self.wavevector[wave].tolist(), self.shift[wave].tolist()
        phase = phases[..., wave]
        height = torch.sin(kx * x + (ky * y + (phase if phase.ndim else phase.item())))
        return x + (sign * sx) * height, y + (sign * sy) * height


STILL = Waves(
    wavevector=torch.zeros(0, 2, dtype=torch.float64),
    shift=torch.zeros(0, 2, dtype=torch.float64),
    rate=torch.zeros(0, dtype=torch.float64),
    phase=torch.zeros(0, dtype=torch.float64),
)

"""Outlines of parts: smooth closed curves and the fields that say what lies inside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from scalable_binding.data.synthetic.geometry import Points

REACH = 1.4  # the field covers the outline's largest radius times this
_ANGLES = 2048
_CONTOUR = 128
_HARMONICS = 6


@dataclass(frozen=True)
class Shape:
    """An outline in the coordinates of its part, and a raster of distances to it.

    In coordinates centered at ``center`` and divided by ``radii``, the outline is the curve
    rho = r(angle) with max r = 1. The field is (r(angle) - rho) over the length of its gradient at
    the outline: positive inside, and to first order the distance to the outline. Bilinear
    interpolation of the raster *defines* which points are inside.
    """

    center: tuple[float, float]
    radii: tuple[float, float]
    field: Float32[Tensor, "s s"]
    contour: Float64[Tensor, "n 2"]

    def edge(self, direction: float) -> tuple[float, float]:
        """The point of the outline in a direction (radians, where the radii are made equal)."""
        index = round(direction / (2 * np.pi) * len(self.contour)) % len(self.contour)
        x, y = self.contour[index].tolist()
        return x, y

    def moved(self, along_x: float) -> Shape:
        """The same shape at another place."""
        shift = torch.tensor([along_x, 0.0], dtype=torch.float64)
        center = (self.center[0] + along_x, self.center[1])
        return replace(self, center=center, contour=self.contour + shift)

    def distance(self, points: Points) -> Float32[Tensor, "..."]:
        """Distances from the outline, positive inside, in units of the part's coordinates."""
        (cx, cy), (rx, ry) = self.center, self.radii
        return sample(
            self.field[None],
            (points[0] - cx) / (rx * REACH),
            (points[1] - cy) / (ry * REACH),
            "border",
        )[0]


def sample(
    image: Float32[Tensor, "c s1 s2"],
    x: Float[Tensor, "..."],
    y: Float[Tensor, "..."],
    beyond: str,
) -> Float32[Tensor, "c ..."]:
    """Bilinear samples at x, y in [-1, 1] from edge to edge; ``beyond`` as in ``grid_sample``."""
    grid = torch.stack((x, y), dim=-1).float()
    flat = grid.reshape(1, 1, -1, 2) if grid.ndim != 3 else grid[None]
    values = torch.nn.functional.grid_sample(
        image[None], flat, mode="bilinear", padding_mode=beyond, align_corners=False
    )[0]
    return values if grid.ndim == 3 else values.reshape(len(image), *grid.shape[:-1])


def draw(
    rng: np.random.Generator,
    *,
    radii: tuple[float, float],
    roughness: float,
    resolution: int,
) -> Shape:
    """A random outline around 0: a superellipse (diamond, ellipse, box) times a smooth wobble.

    ``roughness`` is the amplitude of the wobble relative to the radius, ``resolution`` the number
    of field cells along each side.
    """
    angle = _angles()
    exponent = float(rng.choice([1.5, 2.0, 2.0, 2.5, 4.0, 8.0]))
    profile = (angle.cos().abs() ** exponent + angle.sin().abs() ** exponent) ** (-1 / exponent)
    orders = np.arange(2, _HARMONICS + 2)
    weights = rng.normal(size=(2, _HARMONICS)) / orders * 2 * roughness
    profile = profile * (1 + torch.from_numpy(weights.reshape(-1)) @ _basis()).clamp(min=0.4)
    profile = profile / profile.max()
    slope = (profile.roll(-1) - profile.roll(1)) * (_ANGLES / (4 * np.pi)) / profile
    across = (slope * angle.sin() + angle.cos()) / radii[0]
    along = (slope * angle.cos() - angle.sin()) / radii[1]
    unit = torch.hypot(across, along).reciprocal()
    index, rho = _polar(resolution)
    field = (profile.float()[index] - rho) * unit.float()[index]
    every = slice(None, None, _ANGLES // _CONTOUR)
    contour = torch.stack(
        (
            radii[0] * (profile * angle.cos())[every],
            radii[1] * (profile * angle.sin())[every],
        ),
        dim=-1,
    )
    return Shape(center=(0.0, 0.0), radii=radii, field=field, contour=contour)


@lru_cache(maxsize=1)
def _angles() -> Float64[Tensor, "angles"]:
    return torch.arange(_ANGLES, dtype=torch.float64) * (2 * np.pi / _ANGLES)


@lru_cache(maxsize=1)
def _basis() -> Float64[Tensor, "waves angles"]:
    orders = torch.arange(2, _HARMONICS + 2, dtype=torch.float64)[:, None]
    return torch.cat(((orders * _angles()).cos(), (orders * _angles()).sin()))


@lru_cache(maxsize=16)
def _polar(resolution: int) -> tuple[Int64[Tensor, "s s"], Float32[Tensor, "s s"]]:
    """Angle (as an index) and radius of the centers of a field's cells."""
    axis = ((torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution * 2 - 1) * REACH
    angle = torch.atan2(axis[:, None], axis[None, :])
    index = (angle * (_ANGLES / (2 * np.pi))).round().long() % _ANGLES
    return index, torch.hypot(axis[:, None], axis[None, :]).float()

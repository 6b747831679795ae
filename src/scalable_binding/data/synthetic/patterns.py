"""Generated textures: fractal noise, marble, cells, stripes, checks and scattered blobs.

Each is a gray field that a random palette colors, so that statistics vary from smooth and
natural to sharp and man-made.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

SIDE = 384

Field = Float[np.ndarray, "s s"]


def draw(rng: np.random.Generator) -> Float32[Tensor, "3 s s"]:
    """A random pattern in random colors, RGB in [0, 1]."""
    kinds = [fractal, marble, cells, cracks, stripes, checks, blobs, strokes]
    kind = kinds[int(rng.integers(len(kinds)))]
    field = kind(rng)
    fine = fractal(rng) - 0.5
    field = np.clip(_soften(field) + rng.uniform(0.05, 0.35) * fine, 0, 1)
    colors = _palette(rng)
    position = field * (len(colors) - 1)
    rgb = np.stack([np.interp(position, np.arange(len(colors)), c) for c in colors.T])
    tint = np.stack([fractal(rng, slope=2.2) - 0.5 for _ in range(3)])
    return torch.from_numpy(np.clip(rgb + 0.12 * tint, 0, 1)).float()


def fractal(rng: np.random.Generator, slope: float | None = None) -> Field:
    """Noise with spectrum 1 / f ** slope, as natural images have (slope near 1)."""
    slope = rng.uniform(0.8, 1.8) if slope is None else slope
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = 1
    noise = rng.normal(size=(2, *frequency.shape))
    spectrum = (noise[0] + 1j * noise[1]) / frequency**slope
    spectrum[0, 0] = 0
    return _unit(np.fft.irfft2(spectrum, s=(SIDE, SIDE)))


def marble(rng: np.random.Generator) -> Field:
    """Stripes bent by strong noise."""
    return 0.5 + 0.5 * np.sin(_ramp(rng, 4.0, 20.0) + rng.uniform(4, 14) * fractal(rng, 1.5))


def stripes(rng: np.random.Generator) -> Field:
    """Sharp or soft stripes, slightly bent."""
    wave = np.sin(_ramp(rng, 8.0, 40.0) + rng.uniform(0, 3) * fractal(rng, 1.8))
    return 0.5 + 0.5 * np.tanh(rng.uniform(0.7, 8) * wave)


def checks(rng: np.random.Generator) -> Field:
    """Two families of stripes across each other: checks, weaves, tartans."""
    a, b = (np.tanh(rng.uniform(1, 8) * np.sin(_ramp(rng, 8.0, 30.0))) for _ in range(2))
    mixed = a * b if rng.random() < 0.5 else 0.6 * a + 0.4 * b
    return 0.5 + 0.5 * mixed


def cells(rng: np.random.Generator) -> Field:
    """Voronoi cells, every one of its own gray: patches with sharp borders."""
    _, _, owner, count = _voronoi(rng)
    return rng.random(count)[owner]


def cracks(rng: np.random.Generator) -> Field:
    """Dark lines between Voronoi cells: mosaics, scales, dry mud."""
    nearest, second, owner, count = _voronoi(rng)
    gap = np.sqrt(second) - np.sqrt(nearest)
    return np.tanh(gap * rng.uniform(0.15, 0.6)) * (0.6 + 0.4 * rng.random(count)[owner])


def blobs(rng: np.random.Generator) -> Field:
    """Noise cut at a level: spots and camouflage."""
    return 0.5 + 0.5 * np.tanh(rng.uniform(5, 30) * (fractal(rng, 1.7) - rng.uniform(0.35, 0.65)))


def strokes(rng: np.random.Generator) -> Field:
    """Noise drawn out along one direction: wood, fur, brushed metal, rain."""
    angle, ratio = rng.uniform(0, np.pi), rng.uniform(5, 20)
    fy, fx = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    along, across = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
    frequency = np.hypot(along * ratio, across) + 1 / SIDE
    noise = rng.normal(size=(2, *frequency.shape))
    return _unit(np.fft.irfft2((noise[0] + 1j * noise[1]) / frequency**1.4, s=(SIDE, SIDE)))


def _ramp(rng: np.random.Generator, low: float, high: float) -> Field:
    """A phase that grows along a random direction: ``low`` to ``high`` periods over the side."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    periods = np.exp(rng.uniform(np.log(low), np.log(high)))
    return 2 * np.pi * periods * (x * np.cos(angle) + y * np.sin(angle))


def _voronoi(rng: np.random.Generator) -> tuple[Field, Field, np.ndarray, int]:
    """Squared distances to the nearest and second nearest seed, the nearest one's index, count."""
    count = int(np.exp(rng.uniform(np.log(40), np.log(400))))
    seeds = torch.from_numpy(rng.uniform(0, SIDE, size=(count, 2))).float()
    axis = torch.arange(SIDE).float()
    rows = []
    for y in axis:
        squared = (axis[:, None] - seeds[:, 0]) ** 2 + (y - seeds[:, 1]) ** 2
        rows.append(squared.topk(2, dim=1, largest=False))
    values = torch.stack([row.values for row in rows]).numpy()
    return (
        values[..., 0],
        values[..., 1],
        torch.stack([r.indices for r in rows])[..., 0].numpy(),
        count,
    )


def _palette(rng: np.random.Generator) -> Float[np.ndarray, "colors 3"]:
    """Two to five colors, from dark to bright or in any order; most palettes are muted."""
    count = int(rng.integers(2, 6))
    vivid = 0.2 if rng.random() < 0.3 else 0.07
    brightness = rng.uniform(0.05, 0.95, size=(count, 1))
    hue = rng.normal(scale=vivid, size=3) + rng.normal(scale=0.7 * vivid, size=(count, 3))
    colors = np.clip(brightness + hue - hue.mean(axis=1, keepdims=True), 0, 1)
    return colors[np.argsort(colors.sum(1))] if rng.random() < 0.6 else colors


def _soften(field: Field) -> Field:
    """The field without stairs along sharp borders."""
    for axis in (0, 1):
        field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    return field


def _unit(field: Field) -> Field:
    """The field with values in [0, 1]: 2.5 standard deviations around the mean, clipped."""
    return np.clip(0.5 + (field - field.mean()) / (5 * field.std()), 0, 1)

"""Light: how bright and what color a scene is, changing over the frame and in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn.functional import interpolate

from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.motion import Swing, draw_swing

_GRID = 4


@dataclass(frozen=True)
class Light:
    """Gains exp(color(t) + place(t)), shadows' darkness and offset, rounding, and noise.

    Attributes:
        color: log gain of every channel; ``place``: log gain on a coarse grid over the frame.
        shadow: darkness in [0, 1] of the shadows; ``towards``: their offset in body radii.
        shade: darkening towards outlines, in [0, 1].
        noise: standard deviation of the sensor's noise.
    """

    color: Swing
    place: Swing
    shadow: float
    towards: tuple[float, float]
    shade: float
    noise: float

    def is_constant(self) -> bool:
        """Whether the light leaves all frames as they are."""
        return not (self.color.amplitude.any() or self.place.amplitude.any())

    def shine(self, canvas: Float32[Tensor, "3 h w"], time: float) -> Float32[Tensor, "3 h w"]:
        """The canvas in the light of a time, changed in place."""
        if self.is_constant():
            return canvas
        times = torch.tensor([time], dtype=torch.float64)
        coarse = torch.exp(self.place(times)).float()[None]
        canvas *= interpolate(coarse, size=canvas.shape[1:], mode="bilinear")[0]
        canvas *= torch.exp(self.color(times)).float().reshape(3, 1, 1)
        return canvas


def draw(rng: np.random.Generator, config: WorldConfig) -> Light:
    """Random light of at most the configured strength."""
    strength = config.light * rng.uniform(0, 1)
    color = draw_swing(rng, amplitude=0.2 * strength, rate=0.3, shape=(3,))
    place = draw_swing(rng, amplitude=strength, rate=0.25, shape=(_GRID, _GRID))
    direction = rng.uniform(0, 2 * np.pi)
    length = rng.uniform(0.1, 0.35)
    return Light(
        color=color,
        place=place,
        shadow=config.shadow * float(rng.uniform(0, 1)),
        towards=(float(length * np.cos(direction)), float(length * np.sin(direction))),
        shade=config.shade * float(rng.uniform(0, 1)),
        noise=config.noise * float(rng.uniform(0, 1)),
    )

"""How objects and the camera move: smooth functions of continuous time.

A *script* draws a choreography for all objects of a scene at once, so that objects can depend on
one another (one carries or hides in another) and can pass in front and behind: another script
makes another kind of scene, and rendering and truth follow from the poses alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.data.synthetic.config import Range, WorldConfig


@dataclass(frozen=True)
class Poses:
    """Where objects are at some times, in the world's units (center of the first view = 0).

    Attributes:
        center: position x, y.
        angle: rotation in radians.
        scale: body radii along the object's own x and y, which may differ (a turn in depth).
        depth: larger is nearer, and nearer objects hide others. From -1 to 1e6 is between the
            scenery behind and the scenery in front.
    """

    center: Float64[Tensor, "t o 2"]
    angle: Float64[Tensor, "t o"]
    scale: Float64[Tensor, "t o 2"]
    depth: Float64[Tensor, "t o"]


@dataclass(frozen=True)
class View:
    """The camera at some times: it looks at ``center``, turned by ``angle``, ``zoom`` times."""

    center: Float64[Tensor, "t 2"]
    angle: Float64[Tensor, "t"]
    zoom: Float64[Tensor, "t"]


Choreography = Callable[[Float64[Tensor, "t"]], Poses]
CameraPath = Callable[[Float64[Tensor, "t"]], View]
Script = Callable[[np.random.Generator, WorldConfig, int], Choreography]
"""Draws the motion of a number of objects; must be defined at any real time."""


@dataclass(frozen=True)
class Swing:
    """Sums of sinusoids: offset + sum_i amplitude_i sin(rate_i time + phase_i)."""

    offset: Float64[Tensor, "*s"]
    amplitude: Float64[Tensor, "i *s"]
    rate: Float64[Tensor, "i *s"]
    phase: Float64[Tensor, "i *s"]

    def __call__(self, times: Float64[Tensor, "t"]) -> Float64[Tensor, "t *s"]:
        """The values at the given times."""
        time = times.reshape(-1, 1, *(1 for _ in self.offset.shape))
        waves = self.amplitude * torch.sin(self.rate * time + self.phase)
        return self.offset + waves.sum(dim=1)


def draw_swing(
    rng: np.random.Generator,
    *,
    amplitude: float | np.ndarray,
    rate: float | np.ndarray,
    shape: tuple[int, ...] = (),
    offset: float | np.ndarray = 0.0,
) -> Swing:
    """A random swing of two sinusoids that is never faster than ``amplitude * rate`` per frame."""
    share = rng.uniform(0.3, 1.0, size=(2, *shape))
    share = share / share.sum(axis=0)
    slow_and_fast = rng.uniform([0.3, 0.6], [0.7, 1.0], size=(*shape, 2))
    rates = np.broadcast_to(rate, shape)[..., None] * slow_and_fast
    return Swing(
        offset=_tensor(np.broadcast_to(offset, shape)),
        amplitude=_tensor(share * amplitude),
        rate=_tensor(np.moveaxis(rates, -1, 0)),
        phase=_tensor(rng.uniform(0, 2 * np.pi, size=(2, *shape))),
    )


def wander(rng: np.random.Generator, config: WorldConfig, num_objects: int) -> Choreography:
    """Everyone on a path of their own: crossing the view, turning back at its borders, or roaming.

    Some go straight at a changing pace, some curve, some stay nearly still; they turn, grow, and
    are squeezed as if turning in depth. Depths are fixed and distinct.
    """
    speed = log_uniform(rng, config.speed, num_objects)
    half = np.asarray(config.half_extent)
    start = rng.uniform(-0.85, 0.85, size=(num_objects, 2)) * half
    heading = rng.uniform(0, 2 * np.pi, size=num_objects)
    straight = rng.uniform(0, 1, size=num_objects)
    velocity = _tensor((straight * speed)[:, None] * _direction(heading))
    reach = 0.3 * rng.uniform(0.3, 1, size=(num_objects, 1))
    roaming = ((1 - straight) * speed)[:, None]
    roam = draw_swing(rng, amplitude=reach, rate=roaming / reach, shape=(num_objects, 2))
    pace = draw_swing(rng, amplitude=4.0, rate=0.2, shape=(num_objects,))
    turn = draw_swing(rng, amplitude=1.2, rate=config.turn / 2.4, shape=(num_objects,))
    spin = _tensor(rng.uniform(-1, 1, size=num_objects) * config.turn / 2)
    growth = draw_swing(rng, amplitude=0.3, rate=config.growth / 0.3, shape=(num_objects,))
    squeeze = draw_swing(rng, amplitude=0.2, rate=config.growth / 0.2, shape=(num_objects,))
    size = _tensor(log_uniform(rng, config.object_size, num_objects))
    angle = _tensor(rng.uniform(-0.6, 0.6, size=num_objects))
    depth = _tensor(rng.permutation(num_objects) + 1.0)

    def poses(times: Float64[Tensor, "t"]) -> Poses:
        path = _tensor(start) + (times[:, None] + pace(times))[..., None] * velocity
        scale = size * torch.exp(growth(times))
        ratio = torch.exp(squeeze(times))
        return Poses(
            center=_fold(path, _tensor(0.9 * half)) + roam(times),
            angle=angle + turn(times) + spin * times[:, None],
            scale=torch.stack((scale * ratio, scale / ratio), dim=-1),
            depth=depth.expand(len(times), -1),
        )

    return poses


def draw_camera(
    rng: np.random.Generator, config: WorldConfig, choreography: Choreography
) -> CameraPath:
    """A hand-held camera that pans, turns and zooms, and that in some scenes follows object 0."""
    speed = config.camera_speed * rng.uniform(0, 1) ** 1.5
    pan = draw_swing(rng, amplitude=0.3, rate=speed / 0.3, shape=(2,))
    shake = draw_swing(rng, amplitude=0.1 * config.camera_speed, rate=1.0, shape=(2,))
    turn = draw_swing(rng, amplitude=0.15, rate=config.camera_turn * rng.random() / 0.15)
    zoom = draw_swing(rng, amplitude=0.2, rate=config.camera_zoom * rng.random() / 0.2)
    follows = rng.random() < config.follow_rate
    share = rng.uniform(0.5, 0.9)

    def view(times: Float64[Tensor, "t"]) -> View:
        center = pan(times) + shake(times)
        if follows and (path := choreography(times).center).shape[1]:
            center = center + share * path[:, 0]
        return View(center=center, angle=turn(times), zoom=torch.exp(zoom(times)))

    return view


def log_uniform(rng: np.random.Generator, bounds: Range, count: int) -> np.ndarray:
    """Numbers whose logarithms are uniform between the bounds."""
    low, high = np.log(bounds)
    return np.exp(rng.uniform(low, high, size=count))


def _fold(path: Float64[Tensor, "t o 2"], bound: Float64[Tensor, "2"]) -> Float64[Tensor, "t o 2"]:
    """The path turned back at +-bound, as a triangle wave."""
    period = 4 * bound
    return (torch.remainder(path - bound, period) - 2 * bound).abs() - bound


def _direction(angle: np.ndarray) -> np.ndarray:
    return np.stack((np.cos(angle), np.sin(angle)), axis=-1)


def _tensor(values: np.ndarray) -> Float64[Tensor, "..."]:
    return torch.tensor(values, dtype=torch.float64)

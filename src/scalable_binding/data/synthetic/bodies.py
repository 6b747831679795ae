"""Bodies: trees of textured parts that swing about joints, and bend as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.data.synthetic import shapes, textures
from scalable_binding.data.synthetic.config import MAX_PARTS_PER_OBJECT, WorldConfig
from scalable_binding.data.synthetic.geometry import STILL, Waves, affine
from scalable_binding.data.synthetic.motion import Swing, draw_swing
from scalable_binding.data.synthetic.shapes import Shape
from scalable_binding.data.synthetic.textures import Texture


@dataclass(frozen=True)
class Part:
    """A rigid piece of a body. Its joint is the origin of its coordinates.

    Attributes:
        shape: its outline; None covers the whole plane (the background).
        texture: its surface.
        parent: index of the part it hangs on, -1 for the root.
        pivot: where the joint is, in the parent's coordinates.
        angle: of the joint over time.
        layer: parts of a higher layer lie over the others.
        keypoints: named places of the surface, in the part's coordinates.
    """

    shape: Shape | None
    texture: Texture
    parent: int = -1
    pivot: tuple[float, float] = (0.0, 0.0)
    angle: Swing | None = None
    layer: int = 0
    keypoints: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Body:
    """Parts (parents before children) and the waves that bend them together."""

    parts: tuple[Part, ...]
    waves: Waves

    @property
    def order(self) -> list[int]:
        """Indices of the parts from back to front."""
        return sorted(range(len(self.parts)), key=lambda i: self.parts[i].layer)

    def joints(self, times: Float64[Tensor, "t"]) -> Float64[Tensor, "t p 3 3"]:
        """Matrices from the coordinates of every part to those of the body."""
        ones = torch.ones(len(times), 2, dtype=torch.float64)
        matrices: list[Tensor] = []
        for part in self.parts:
            angle = torch.zeros_like(times) if part.angle is None else part.angle(times)
            local = affine(torch.tensor(part.pivot) * ones, angle, ones)
            matrices.append(local if part.parent < 0 else matrices[part.parent] @ local)
        return torch.stack(matrices, dim=1)


@dataclass(frozen=True)
class _Bone:
    """What is drawn of a part before it gets its shape and texture (units: body radii)."""

    centre: tuple[float, float]
    radii: tuple[float, float]
    parent: int = -1
    pivot: tuple[float, float] = (0.0, 0.0)
    angle: Swing | None = None
    layer: int = 0


def draw_object(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A random object: a single piece, a chain, or a body with limbs and perhaps a head.

    ``scale`` is the number of screen pixels to a body radius, which sets the detail.
    """
    if rng.random() >= config.limb_rate:
        aspect = np.exp(rng.uniform(-0.45, 0.45))
        bones = [_Bone(centre=(0.0, 0.0), radii=(float(aspect), float(1 / aspect)))]
    elif rng.random() < 0.25:
        bones = _chain(rng, config)
    else:
        bones = _creature(rng, config)
    coherent = rng.random() < 0.4
    skin = _skin(rng, config, (2.2, 2.2), scale)
    resolution = int(np.clip(scale, 32, 192))
    parts = []
    for bone in bones:
        own = not coherent and len(parts) > 0 and rng.random() < 0.7
        extent = (abs(bone.centre[0]) + bone.radii[0], bone.radii[1])
        shape = shapes.draw(
            rng,
            centre=bone.centre,
            radii=bone.radii,
            roughness=float(rng.uniform(0.0, 0.14)),
            resolution=resolution,
        )
        texture = _skin(rng, config, extent, scale) if own else skin
        parts.append(
            Part(
                shape=shape,
                texture=texture,
                parent=bone.parent,
                pivot=bone.pivot,
                angle=bone.angle,
                layer=bone.layer,
                keypoints=_keypoints(bone),
            )
        )
    return Body(parts=tuple(parts), waves=draw_waves(rng, config.deformation))


def draw_scenery(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A rigid shape: a pole, a bush, a rock."""
    aspect = np.exp(rng.uniform(-1.2, 1.2))
    radii = (float(aspect), float(1 / aspect))
    roughness = float(rng.uniform(0, 0.15))
    resolution = int(np.clip(scale, 32, 192))
    shape = shapes.draw(
        rng, centre=(0.0, 0.0), radii=radii, roughness=roughness, resolution=resolution
    )
    return Body(parts=(Part(shape=shape, texture=_skin(rng, config, radii, scale)),), waves=STILL)


def draw_background(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A textured plane that reaches beyond the view; in some scenes it ripples, as water does."""
    extent = tuple(1.7 * half for half in config.half_extent)
    texture = textures.draw(rng, config, extent=extent, scale=scale, magnified=1.8)
    ripples = rng.random() < 0.2
    waves = draw_waves(rng, 0.06 * config.deformation) if ripples else STILL
    return Body(parts=(Part(shape=None, texture=texture),), waves=waves)


def draw_waves(rng: np.random.Generator, largest: float) -> Waves:
    """Two travelling waves across each other, of at most this amplitude."""
    heading = rng.uniform(0, np.pi) + np.array([0.0, 1.2])
    number = rng.uniform(1.0, 3.0, size=2)
    amplitude = largest * rng.uniform(0, 1, size=2)
    along = np.stack((np.cos(heading), np.sin(heading)), axis=-1)
    across = np.stack((-np.sin(heading), np.cos(heading)), axis=-1)
    return Waves(
        wavevector=torch.from_numpy(number[:, None] * along),
        shift=torch.from_numpy(amplitude[:, None] * across),
        rate=torch.from_numpy(rng.uniform(-0.35, 0.35, size=2)),
        phase=torch.from_numpy(rng.uniform(0, 2 * np.pi, size=2)),
    )


def _creature(rng: np.random.Generator, config: WorldConfig) -> list[_Bone]:
    """A trunk with two to four limbs, each of one or two bones, and perhaps a head."""
    aspect = float(np.exp(rng.uniform(-0.35, 0.35)))
    trunk = (0.8 * aspect, 0.8 / aspect)
    bones = [_Bone(centre=(0.0, 0.0), radii=trunk)]
    num_limbs = int(rng.integers(2, 5))
    directions = rng.uniform(0, 2 * np.pi) + np.arange(num_limbs) * 2 * np.pi / num_limbs
    for direction in directions + rng.uniform(-0.3, 0.3, size=num_limbs):
        layer = int(rng.choice([-1, 1]))
        pivot = tuple(0.6 * radius for radius in _on_ellipse(trunk, direction))
        length, width = float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.15, 0.3))
        hinge = _hinge(rng, config, float(direction))
        bones.append(_limb(length, width, parent=0, pivot=pivot, angle=hinge, layer=layer))
        if rng.random() < 0.5:
            end = (1.3 * length, 0.0)
            bend = _hinge(rng, config, float(rng.uniform(-0.7, 0.7)))
            parent = len(bones) - 1
            bones.append(
                _limb(0.8 * length, 0.8 * width, parent=parent, pivot=end, angle=bend, layer=layer)
            )
    if rng.random() < 0.6 and len(bones) < MAX_PARTS_PER_OBJECT:
        direction = float(directions[0] + np.pi / num_limbs)
        radius = float(rng.uniform(0.35, 0.5))
        pivot = _on_ellipse(trunk, direction)
        nod = _hinge(rng, config, direction, share=0.4)
        bones.append(
            _Bone((0.6 * radius, 0.0), (radius, 0.85 * radius), 0, pivot, angle=nod, layer=2)
        )
    return bones


def _chain(rng: np.random.Generator, config: WorldConfig) -> list[_Bone]:
    """Three to six links, each hanging on the one before."""
    length, width = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.25, 0.45))
    bones = [_limb(length, width, pivot=(-length, 0.0))]
    for link in range(1, int(rng.integers(3, 7))):
        hinge = _hinge(rng, config, 0.0, share=0.8)
        taper = 0.9**link
        end = (1.3 * length * 0.9 ** (link - 1), 0.0)
        bones.append(
            _limb(
                taper * length, taper * width, parent=link - 1, pivot=end, angle=hinge, layer=link
            )
        )
    return bones


def _limb(
    length: float,
    width: float,
    *,
    parent: int = -1,
    pivot: tuple[float, ...] = (0.0, 0.0),
    angle: Swing | None = None,
    layer: int = 0,
) -> _Bone:
    """A bone along x from its joint; ``length`` and ``width`` are half-lengths."""
    return _Bone(
        centre=(0.7 * length, 0.0),
        radii=(length, width),
        parent=parent,
        pivot=(pivot[0], pivot[1]),
        angle=angle,
        layer=layer,
    )


def _hinge(rng: np.random.Generator, config: WorldConfig, rest: float, share: float = 1.0) -> Swing:
    amplitude = share * config.swing * rng.uniform(0.2, 1)
    return draw_swing(rng, amplitude=amplitude, rate=rng.uniform(0.05, 0.4), offset=rest)


def _on_ellipse(radii: tuple[float, float], direction: float) -> tuple[float, float]:
    return radii[0] * float(np.cos(direction)), radii[1] * float(np.sin(direction))


def _keypoints(bone: _Bone) -> tuple[tuple[float, float], ...]:
    """The centre of a root; the outer end of every other part, well inside its outline."""
    if bone.parent < 0:
        return (bone.centre,)
    return ((bone.centre[0] + 0.5 * bone.radii[0], 0.0),)


def _skin(
    rng: np.random.Generator, config: WorldConfig, extent: tuple[float, float], scale: float
) -> Texture:
    return textures.draw(rng, config, extent=extent, scale=scale, magnified=1.5)

"""Bodies: trees of textured parts that swing about joints, and bend as a whole."""

from __future__ import annotations

from collections.abc import Callable
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
    """A part before it gets its texture."""

    shape: Shape
    parent: int = -1
    pivot: tuple[float, float] = (0.0, 0.0)
    angle: Swing | None = None
    layer: int = 0


Mould = Callable[[tuple[float, float]], Shape]
"""Draws a random outline of the given radii."""


def draw_object(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A random object: a single piece, a chain, or a body with limbs and perhaps a head.

    ``scale`` is the number of screen pixels to a body radius, which sets the detail.
    """
    mould = _mould(rng, scale)
    if rng.random() >= config.limb_rate:
        aspect = float(np.exp(rng.uniform(-0.45, 0.45)))
        bones = [_Bone(mould((aspect, 1 / aspect)))]
    elif rng.random() < 0.25:
        bones = _chain(rng, config, mould)
    else:
        bones = _creature(rng, config, mould)
    coherent = rng.random() < 0.4
    skin = _skin(rng, config, (2.2, 2.2), scale)
    parts: list[Part] = []
    for bone in bones:
        texture = skin
        if parts and not coherent and rng.random() < 0.7:
            extent = (2 * bone.shape.radii[0], bone.shape.radii[1])
            texture = _skin(rng, config, extent, scale)
        part = Part(
            shape=bone.shape,
            texture=texture,
            parent=bone.parent,
            pivot=bone.pivot,
            angle=bone.angle,
            layer=bone.layer,
            keypoints=(_keypoint(bone),),
        )
        parts.append(part)
    return Body(parts=tuple(parts), waves=draw_waves(rng, config.deformation))


def _skin(
    rng: np.random.Generator, config: WorldConfig, extent: tuple[float, float], scale: float
) -> Texture:
    """A texture turned any way."""
    angle = float(rng.uniform(0, 2 * np.pi))
    return textures.draw(rng, config, extent=extent, scale=scale, magnified=1.5, angle=angle)


def _mould(rng: np.random.Generator, scale: float) -> Mould:
    resolution = int(np.clip(16 * round(scale / 16), 32, 192))

    def mould(radii: tuple[float, float]) -> Shape:
        return shapes.draw(
            rng, radii=radii, roughness=float(rng.uniform(0, 0.14)), resolution=resolution
        )

    return mould


def draw_scenery(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A rigid shape: a pole, a bush, a rock."""
    aspect = np.exp(rng.uniform(-1.2, 1.2))
    radii = (float(aspect), float(1 / aspect))
    texture = _skin(rng, config, radii, scale)
    return Body(parts=(Part(shape=_mould(rng, scale)(radii), texture=texture),), waves=STILL)


def draw_background(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A textured plane that reaches beyond the view; in some scenes it ripples, as water does."""
    extent = (1.7 * config.half_extent[0], 1.7 * config.half_extent[1])
    texture = textures.draw(rng, config, extent=extent, scale=scale, magnified=1.8)
    ripples = rng.random() < 0.2
    waves = draw_waves(rng, 0.06 * config.deformation) if ripples else STILL
    return Body(parts=(Part(shape=None, texture=texture),), waves=waves)


def draw_waves(rng: np.random.Generator, largest: float) -> Waves:
    """Two traveling waves across each other, of at most this amplitude."""
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


def _creature(rng: np.random.Generator, config: WorldConfig, mould: Mould) -> list[_Bone]:
    """A trunk with two to four limbs, each of one or two bones, and perhaps a head."""
    aspect = float(np.exp(rng.uniform(-0.35, 0.35)))
    trunk = mould((0.8 * aspect, 0.8 / aspect))
    bones = [_Bone(trunk)]
    num_limbs = int(rng.integers(2, 5))
    apart = 2 * np.pi / num_limbs
    first = float(rng.uniform(0, 2 * np.pi))
    for limb in range(num_limbs):
        direction = first + limb * apart + float(rng.uniform(-0.3, 0.3))
        layer = int(rng.choice([-1, 1]))
        length, width = float(rng.uniform(0.45, 0.75)), float(rng.uniform(0.15, 0.3))
        shape = _jointed(mould((length, width)))
        hinge = _hinge(rng, config, direction)
        bones.append(_Bone(shape, 0, _inwards(trunk, direction), hinge, layer))
        if rng.random() < 0.5:
            outer = _jointed(mould((0.8 * length, 0.8 * width)))
            bend = _hinge(rng, config, float(rng.uniform(-0.7, 0.7)))
            bones.append(_Bone(outer, len(bones) - 1, _inwards(shape, 0.0), bend, layer))
    if rng.random() < 0.6 and len(bones) < MAX_PARTS_PER_OBJECT:
        direction = first + apart / 2
        radius = float(rng.uniform(0.35, 0.5))
        nod = _hinge(rng, config, direction, share=0.4)
        head = _jointed(mould((radius, 0.85 * radius)))
        bones.append(_Bone(head, 0, _inwards(trunk, direction), nod, layer=2))
    return bones


def _chain(rng: np.random.Generator, config: WorldConfig, mould: Mould) -> list[_Bone]:
    """Three to six links, each hanging on the one before."""
    length, width = float(rng.uniform(0.4, 0.6)), float(rng.uniform(0.25, 0.45))
    bones = [_Bone(mould((length, width)))]
    for link in range(1, int(rng.integers(3, 7))):
        shape = _jointed(mould((0.9**link * length, 0.9**link * width)))
        hinge = _hinge(rng, config, 0.0, share=0.8)
        bones.append(_Bone(shape, link - 1, _inwards(bones[-1].shape, 0.0), hinge, link))
    return bones


def _jointed(shape: Shape) -> Shape:
    """The shape, moved so that its joint, 0, is just inside its outline, and it extends along x."""
    return shape.moved(-0.8 * shape.edge(np.pi)[0])


def _inwards(shape: Shape, direction: float) -> tuple[float, float]:
    """A point inside a shape, near its outline in a direction."""
    (x, y), (cx, cy) = shape.edge(direction), shape.center
    return cx + 0.8 * (x - cx), cy + 0.8 * (y - cy)


def _hinge(rng: np.random.Generator, config: WorldConfig, rest: float, share: float = 1.0) -> Swing:
    amplitude = share * config.swing * rng.uniform(0.2, 1)
    return draw_swing(rng, amplitude=amplitude, rate=rng.uniform(0.05, 0.4), offset=rest)


def _keypoint(bone: _Bone) -> tuple[float, float]:
    """The center of a root; the outer end of every other part."""
    return bone.shape.center if bone.parent < 0 else _inwards(bone.shape, 0.0)

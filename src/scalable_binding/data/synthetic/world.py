"""A world: what there is in a scene, and where everything is at given times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.data.synthetic import bodies, lights, motion
from scalable_binding.data.synthetic.bodies import Body
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.geometry import (
    Points,
    affine,
    apply,
    apply_each,
    magnification,
)
from scalable_binding.data.synthetic.lights import Light
from scalable_binding.data.synthetic.motion import CameraPath, Choreography, Poses, Script
from scalable_binding.errors import UserError

_BEHIND, _BEFORE = -2.0, 1e6  # depths of scenery, which objects lie between


@dataclass(frozen=True)
class World:
    """The content of a scene, a pure function of (configuration, seed, script).

    ``bodies`` holds the background, then scenery, then the objects 1 to o. ``parallax`` says how
    much of the camera's pan each of them shows: less than 1 is far away. ``scenery`` has the one
    pose of each static shape, ``shutter`` is the time that a frame is exposed for, in frames.
    """

    config: WorldConfig
    bodies: tuple[Body, ...]
    parallax: tuple[float, ...]
    scenery: Poses
    num_objects: int
    choreography: Choreography
    camera: CameraPath
    light: Light
    shutter: float

    @property
    def first_object(self) -> int:
        """Index of object 1 among the bodies."""
        return len(self.bodies) - self.num_objects

    @property
    def times(self) -> Float64[Tensor, "t"]:
        """The times of the frames."""
        return torch.arange(self.config.num_frames).double() * self.config.time_step


@dataclass(frozen=True)
class Placement:
    """One body at given times: the chain part -> joint -> waves -> screen.

    Attributes:
        body: what is placed.
        joints: from part to body, ``to_screen``: from the bent body to pixels (x, y; the center
            of the top left pixel is 0, 0); ``from_body`` and ``from_screen`` are their inverses.
        phases: of the waves.
        scale: screen pixels to a unit of the body.
        boxes: x0, y0, x1, y1 of every part's whole outline, in pixels; infinite for a background.
        depth: larger is nearer.
    """

    body: Body
    joints: Float64[Tensor, "t p 3 3"]
    to_screen: Float64[Tensor, "t 3 3"]
    from_body: Float64[Tensor, "t p 3 3"]
    from_screen: Float64[Tensor, "t 3 3"]
    phases: Float64[Tensor, "t waves"]
    scale: Float64[Tensor, "t"]
    boxes: Float64[Tensor, "t p 4"]
    depth: Float64[Tensor, "t"]

    def onto_screen(self, part: int, frame: int, points: Points) -> Points:
        """Pixels of points of a part."""
        bent = self.body.waves.bend(apply(self.joints[frame, part], points), self.phases[frame])
        return apply(self.to_screen[frame], bent)

    def onto_body(self, frame: int, points: Points) -> Points:
        """Body coordinates, waves undone, of pixels."""
        bent = apply(self.from_screen[frame], points)
        return self.body.waves.straighten(bent, self.phases[frame])

    def onto_part(self, part: int, frame: int, points: Points) -> Points:
        """Part coordinates of points given in body coordinates."""
        return apply(self.from_body[frame, part], points)


def build(config: WorldConfig, seed: int, script: Script = motion.wander) -> World:
    """The world of a seed; ``script`` draws how its objects move.

    Raises:
        UserError: the seed is negative.
    """
    if seed < 0:
        raise UserError("seed of a synthetic world", expected="at least 0", got=str(seed))
    rng = np.random.default_rng([seed, 0x5C3E])
    num_objects = int(rng.integers(config.num_objects[0], config.num_objects[1] + 1))
    num_scenery = int(rng.integers(config.num_scenery[0], config.num_scenery[1] + 1))
    choreography = script(rng, config, num_objects)
    camera = motion.draw_camera(rng, config, choreography)
    unit = float(config.shorter)
    start = choreography(torch.zeros(1, dtype=torch.float64)).scale[0].prod(dim=-1).sqrt() * unit
    scenery = _draw_scenery_poses(rng, config, num_scenery)
    objects = [bodies.draw_object(rng, config, scale) for scale in start.tolist()]
    shapes = [
        bodies.draw_scenery(rng, config, scale * unit) for scale in scenery.scale[0, :, 0].tolist()
    ]
    nearness = np.where(scenery.depth[0] < 0, rng.uniform(0.85, 1), rng.uniform(1.05, 1.4))
    blurred = rng.random() < config.blur_rate
    return World(
        config=config,
        bodies=(bodies.draw_background(rng, config, unit), *shapes, *objects),
        parallax=(float(rng.uniform(0.6, 1.0)), *nearness.tolist(), *[1.0] * num_objects),
        scenery=scenery,
        num_objects=num_objects,
        choreography=choreography,
        camera=camera,
        light=lights.draw(rng, config),
        shutter=config.motion_blur * float(rng.uniform(0.3, 1)) if blurred else 0.0,
    )


def place(world: World, times: Float64[Tensor, "t"]) -> list[Placement]:
    """Every body at the given times (in frames)."""
    poses, view = world.choreography(times), world.camera(times)
    fixed = world.scenery
    count = len(times)
    origin = torch.zeros(count, 1, 2, dtype=torch.float64)
    center = torch.cat((origin, fixed.center.expand(count, -1, -1), poses.center), dim=1)
    angle = torch.cat((origin[..., 0], fixed.angle.expand(count, -1), poses.angle), dim=1)
    scale = torch.cat((origin + 1, fixed.scale.expand(count, -1, -1), poses.scale), dim=1)
    back = torch.full((count, 1), -torch.inf, dtype=torch.float64)
    depth = torch.cat((back, fixed.depth.expand(count, -1), poses.depth), dim=1)
    config = world.config
    middle = torch.tensor([(config.width - 1) / 2, (config.height - 1) / 2], dtype=torch.float64)
    zoom = (view.zoom * config.shorter)[:, None].expand(-1, 2)
    camera = affine(middle.expand(count, 2), -view.angle, zoom)
    still = torch.zeros(count, dtype=torch.float64)
    placements = []
    for i, (body, parallax) in enumerate(zip(world.bodies, world.parallax, strict=True)):
        pan = affine(-parallax * view.center, still, torch.ones_like(zoom))
        to_screen = camera @ pan @ affine(center[:, i], angle[:, i], scale[:, i])
        placements.append(_placement(body, to_screen, depth[:, i], times))
    return placements


def _placement(
    body: Body,
    to_screen: Float64[Tensor, "t 3 3"],
    depth: Float64[Tensor, "t"],
    times: Float64[Tensor, "t"],
) -> Placement:
    joints, phases = body.joints(times), body.waves.phases(times)
    boxes = torch.full((len(times), len(body.parts), 4), torch.inf, dtype=torch.float64)
    boxes[..., :2] = -torch.inf
    shapes = [part.shape for part in body.parts if part.shape is not None]
    if shapes:
        contours = torch.stack([shape.contour for shape in shapes]).expand(len(times), -1, -1, -1)
        posed = apply_each(joints, contours)
        bent = body.waves.bend((posed[..., 0], posed[..., 1]), phases[:, None, None])
        screen = apply_each(to_screen[:, None], torch.stack(bent, dim=-1))
        boxes = torch.cat((screen.amin(dim=2), screen.amax(dim=2)), dim=-1)
    return Placement(
        body=body,
        joints=joints,
        to_screen=to_screen,
        from_body=torch.linalg.inv(joints),
        from_screen=torch.linalg.inv(to_screen),
        phases=phases,
        scale=magnification(to_screen),
        boxes=boxes,
        depth=depth,
    )


def _draw_scenery_poses(rng: np.random.Generator, config: WorldConfig, count: int) -> Poses:
    """Places for scenery, most of it behind the objects."""
    half = np.asarray(config.half_extent)
    before = rng.random(count) < 0.3
    size = motion.log_uniform(rng, (0.08, 0.5), count) * np.where(before, 0.5, 1.0)
    depth = np.where(before, _BEFORE, _BEHIND) + np.arange(count) / max(count, 1)
    return Poses(
        center=torch.from_numpy(rng.uniform(-1.1, 1.1, size=(1, count, 2)) * half),
        angle=torch.from_numpy(rng.uniform(-0.3, 0.3, size=(1, count))),
        scale=torch.from_numpy(np.repeat(size[None, :, None], 2, axis=2)),
        depth=torch.from_numpy(depth[None]),
    )

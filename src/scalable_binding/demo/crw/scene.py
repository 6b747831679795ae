"""The synthetic clip that the demo shows: objects that cross, and hide one another on the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.data.synthetic import Scene, WorldConfig, evaluation, render
from scalable_binding.data.synthetic.motion import Choreography, Poses, draw_swing, log_uniform
from scalable_binding.demo.config import DemoConfig

FPS = 12
"""Frames a second at which synthetic clips are played."""


def draw_scene(config: DemoConfig) -> Scene:
    """The scene of the seed: three large objects, most of them with limbs, and little scenery.

    Its textures are those that no shipped encoder was trained on.
    """
    size = config.crw
    world = evaluation(height=size.height, width=size.width, num_frames=size.num_frames)
    world = replace(
        world,
        num_objects=(3, 3),
        num_scenery=(0, 2),
        object_size=(0.17, 0.24),
        limb_rate=0.8,
        camera_speed=0.005,
        follow_rate=0.0,
        photograph_rate=0.8,
    )
    return render(world, config.seed, script=cross)


def cross(rng: np.random.Generator, config: WorldConfig, num_objects: int) -> Choreography:
    """Everyone to the opposite side of the view in the time of the clip, past the middle.

    Starts lie evenly on an ellipse; whoever comes through the middle first is drawn by lot, and so
    is who passes in front.
    """
    last = max(1, config.num_frames - 1)
    turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(num_objects) / num_objects
    start = np.stack((np.cos(turn), np.sin(turn)), axis=-1) * np.asarray(config.half_extent)
    start = torch.from_numpy(start * (0.62, 0.45))
    aside = torch.from_numpy(rng.uniform(-0.1, 0.1, size=(num_objects, 2)))
    haste = torch.from_numpy(rng.uniform(0.75, 1.3, size=num_objects))
    angle = draw_swing(rng, amplitude=0.5, rate=0.08, shape=(num_objects,))
    size = torch.from_numpy(log_uniform(rng, config.object_size, num_objects))
    depth = torch.from_numpy(rng.permutation(num_objects) + 1.0)

    def poses(times: Float64[Tensor, "t"]) -> Poses:
        done = (times[:, None] / last).clamp(0, 1) ** haste
        way = torch.cos(np.pi * done)[..., None]
        return Poses(
            center=start * way + aside * (1 - way**2),
            angle=angle(times),
            scale=size[:, None].expand(len(times), num_objects, 2),
            depth=depth.expand(len(times), -1),
        )

    return poses

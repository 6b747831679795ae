"""What an eye in the room sees, pixel by pixel and ray by ray."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scalable_binding.envs import raycast, sprites


def look(
    position: tuple[float, float],
    heading: float,
    objects: list[tuple[float, float]],
    kinds: list[int],
    size: int,
    side: float,
    rays: int = 3,
) -> Tensor:
    """A frame (3 size size) in [0, 255], ``rays`` x ``rays`` of them for a pixel."""
    frame = torch.zeros(3, size, size)
    pictures = [sprites.render(kind).float() for kind in kinds]
    for row in range(size):
        for column in range(size):
            for a in range(rays):
                for b in range(rays):
                    right = (column + (a + 0.5) / rays - size / 2) / (size / 2)
                    up = (size / 2 - row - (b + 0.5) / rays) / (size / 2)
                    color = _trace(position, heading, right, up, objects, pictures, side)
                    frame[:, row, column] += color / rays**2
    return frame


def _trace(position, heading, right, up, objects, pictures, side):
    """The color of one ray; the eye looks along its heading with a field of view of 90 degrees."""
    ahead = (math.cos(heading), math.sin(heading))
    aside = (math.sin(heading), -math.cos(heading))
    ray = (ahead[0] + right * aside[0], ahead[1] + right * aside[1])
    color = _room(position, ray, up, side)
    offsets = [(x - position[0], y - position[1]) for x, y in objects]
    depths = [x * ahead[0] + y * ahead[1] for x, y in offsets]
    for number in sorted(range(len(objects)), key=lambda n: -depths[n]):
        depth = depths[number]
        if depth <= raycast.NEAR:
            continue
        middle = offsets[number][0] * aside[0] + offsets[number][1] * aside[1]
        across = (right * depth - middle) / raycast.OBJECT_SIZE + 0.5
        high = (raycast.EYE_HEIGHT + up * depth) / raycast.OBJECT_SIZE
        if 0 <= across < 1 and 0 <= high < 1:
            pixel = pictures[number][:, int((1 - high) * 64), int(across * 64)]
            opacity = pixel[3] / 255
            lit = pixel[:3] * float(raycast.shade(torch.tensor(depth)))
            color = opacity * lit + (1 - opacity) * color
    return color


def _room(position, ray, up, side):
    hits = []
    for axis, wall in ((0, 0), (0, 1), (1, 2), (1, 3)):
        place = side if wall % 2 else 0.0
        if abs(ray[axis]) > 1e-12:
            depth = (place - position[axis]) / ray[axis]
            if depth > 0:
                hits.append((depth, wall, position[1 - axis] + depth * ray[1 - axis]))
    depth, wall, along = min(hits)
    height = raycast.EYE_HEIGHT + up * depth
    if 0 <= height <= raycast.WALL_HEIGHT:
        place, high = torch.tensor(along / side), torch.tensor(height / raycast.WALL_HEIGHT)
        color = raycast.wall_colors(place, high, wall)
    elif height < 0:
        depth, color = raycast.EYE_HEIGHT / -up, torch.tensor(raycast.FLOOR)
    else:
        depth = (raycast.WALL_HEIGHT - raycast.EYE_HEIGHT) / up
        color = torch.tensor(raycast.CEILING)
    return color * float(raycast.shade(torch.tensor(depth)))

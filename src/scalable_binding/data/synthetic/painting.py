"""Pictures of a world, painted from back to front by inverse warping.

Every pixel center is mapped back onto the surface, so colors are anti-aliased at outlines while
the question which surface a pixel shows has an exact answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int16, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from scalable_binding.data.synthetic import motion
from scalable_binding.data.synthetic.bodies import Part
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.geometry import Points
from scalable_binding.data.synthetic.motion import Script
from scalable_binding.data.synthetic.shapes import Shape
from scalable_binding.data.synthetic.world import Placement, World, build, place

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in whole pixels, the last ones outside."""


def frames(
    config: WorldConfig, seed: int, *, script: Script = motion.wander
) -> UInt8[Tensor, "t 3 h w"]:
    """The frames of a scene, without its truth: the fast way, to train on."""
    return draw_frames(build(config, seed, script), seed)


@torch.no_grad()
def draw_frames(world: World, seed: int) -> UInt8[Tensor, "t 3 h w"]:
    """The frames of a world; ``seed`` draws the sensor's noise only."""
    config = world.config
    instants = config.blur_samples if world.shutter > 0 else 1
    within = (torch.arange(instants, dtype=torch.float64) + 0.5) / instants - 0.5
    exposure = world.shutter * config.time_step * within
    placements = place(world, (world.times[:, None] + exposure).reshape(-1))
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence(seed).generate_state(1)[0])
    )
    result = torch.empty(config.num_frames, 3, config.height, config.width, dtype=torch.uint8)
    for frame, time in enumerate(world.times.tolist()):
        canvas = paint(world, placements, frame * instants)
        for instant in range(1, instants):
            canvas += paint(world, placements, frame * instants + instant)
        canvas = world.light.shine(canvas.mul_(255 / instants), time)
        if world.light.noise > 0:
            noise = torch.randn(canvas.shape, generator=generator)
            canvas.add_(noise, alpha=255 * world.light.noise)
        result[frame] = canvas.round_().clamp_(0, 255)
    return result


def paint(world: World, placements: list[Placement], index: int) -> Float32[Tensor, "3 h w"]:
    """Colors in [0, 1] at one of the placements' times, before light and noise."""
    size = (world.config.width, world.config.height)
    canvas = torch.empty(3, size[1], size[0])
    for body in from_back_to_front(placements, index):
        placement = placements[body]
        if body >= world.first_object and world.light.shadow > 0:
            _throw_shadow(world, placement, index, canvas)
        scale = placement.scale[index].item()
        for number, x0, y0, x1, y1, points in _windows(placement, index, size):
            part = placement.body.parts[number]
            color = part.texture.color(points, scale)
            if part.shape is None:
                canvas[:, y0:y1, x0:x1] = color
                continue
            distance = part.shape.distance(points)
            color *= _rounding(part.shape, distance, world.light.shade)
            cover = distance.mul_(scale).add_(0.5).clamp_(0, 1)
            canvas[:, y0:y1, x0:x1].lerp_(color, cover.expand_as(color))
    return canvas


def surfaces(world: World, placements: list[Placement], index: int) -> Int16[Tensor, "h w"]:
    """The number of the surface (a part, counted over all bodies) that every pixel shows."""
    size = (world.config.width, world.config.height)
    ids = torch.zeros(size[1], size[0], dtype=torch.int16)
    first = first_surfaces(placements)
    for body in from_back_to_front(placements, index):
        for number, x0, y0, x1, y1, points in _windows(placements[body], index, size):
            inside = is_inside(placements[body].body.parts[number], points)
            ids[y0:y1, x0:x1].masked_fill_(inside, first[body] + number)
    return ids


def silhouette(world: World, placement: Placement, index: int) -> Bool[Tensor, "h w"]:
    """The pixels in the frame that a body would cover if it were alone."""
    size = (world.config.width, world.config.height)
    covered = torch.zeros(size[1], size[0], dtype=torch.bool)
    for number, x0, y0, x1, y1, points in _windows(placement, index, size):
        covered[y0:y1, x0:x1] |= is_inside(placement.body.parts[number], points)
    return covered


def surface_at(placements: list[Placement], index: int, points: Points) -> Int16[Tensor, "..."]:
    """The number of the surface seen at any points of the screen, between pixels or outside it."""
    ids = torch.zeros(torch.broadcast_shapes(points[0].shape, points[1].shape), dtype=torch.int16)
    first = first_surfaces(placements)
    for body in from_back_to_front(placements, index):
        placement = placements[body]
        on_body = placement.onto_body(index, points)
        for number in placement.body.order:
            on_part = placement.onto_part(number, index, on_body)
            ids.masked_fill_(is_inside(placement.body.parts[number], on_part), first[body] + number)
    return ids


def from_back_to_front(placements: list[Placement], index: int) -> list[int]:
    """Indices of the placements, the farthest first."""
    return sorted(range(len(placements)), key=lambda body: placements[body].depth[index].item())


def first_surfaces(placements: list[Placement]) -> list[int]:
    """The number of every body's first surface."""
    counts = [len(placement.body.parts) for placement in placements]
    return [sum(counts[:body]) for body in range(len(counts))]


def is_inside(part: Part, points: Points) -> Bool[Tensor, "..."]:
    """Whether points, in the part's coordinates, lie on the part."""
    if part.shape is None:
        return torch.ones_like(points[0], dtype=torch.bool)
    return part.shape.distance(points) > 0


def _windows(
    placement: Placement, index: int, size: tuple[int, int]
) -> Iterator[tuple[int, int, int, int, int, Points]]:
    """From back to front: each part in view, its window, and the window's points on the part."""
    boxes = placement.boxes[index]
    whole = _window(torch.cat((boxes[:, :2].amin(0), boxes[:, 2:].amax(0))), size)
    if whole is None:
        return
    left, top, right, bottom = whole
    x = torch.arange(left, right, dtype=torch.float32)[None, :]
    y = torch.arange(top, bottom, dtype=torch.float32)[:, None]
    x, y = placement.onto_body(index, (x, y))
    for number in placement.body.order:
        window = _window(boxes[number], size)
        if window is not None:
            x0, y0, x1, y1 = window
            part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
            yield number, *window, placement.onto_part(number, index, (x[part], y[part]))


def _window(box: Float64[Tensor, "4"], size: tuple[int, int]) -> Window | None:
    """The whole pixels of a box and two more on every side, cut at the frame; None if no pixel."""
    x0, y0, x1, y1 = box.tolist()
    x0, y0 = max(x0 - 2, 0), max(y0 - 2, 0)
    x1, y1 = min(x1 + 3, size[0]), min(y1 + 3, size[1])
    return (int(x0), int(y0), int(x1), int(y1)) if x1 > x0 + 1 and y1 > y0 + 1 else None


def _rounding(
    shape: Shape, distance: Float32[Tensor, "h w"], shade: float
) -> Float32[Tensor, "h w"]:
    """The factor that darkens a part towards its outline, as if it curved away."""
    edge = distance.mul(-2 / min(shape.radii)).add_(1).clamp_(0, 1)
    return edge.square_().mul_(-shade).add_(1)


def _throw_shadow(
    world: World, placement: Placement, index: int, canvas: Float32[Tensor, "3 h w"]
) -> None:
    """Darken the canvas where the body's soft shadow falls, computed on a coarse grid."""
    scale = placement.scale[index].item()
    shift = [scale * towards for towards in world.light.towards]
    boxes = placement.boxes[index]
    box = torch.cat((boxes[:, :2].amin(0), boxes[:, 2:].amax(0)))
    shifted = box + torch.tensor(shift * 2) + 0.25 * scale * torch.tensor([-1, -1, 1, 1])
    window = _window(shifted, (world.config.width, world.config.height))
    if window is None:
        return
    x0, y0, x1, y1 = window
    step = max(1, int(0.05 * scale))
    x = torch.arange(x0, x1 + step, step, dtype=torch.float32)[None, :] - shift[0]
    y = torch.arange(y0, y1 + step, step, dtype=torch.float32)[:, None] - shift[1]
    on_body = placement.onto_body(index, (x, y))
    dark = torch.zeros(on_body[0].shape)
    for number, part in enumerate(placement.body.parts):
        if part.shape is not None:
            softness = 0.25 * min(part.shape.radii)
            distance = part.shape.distance(placement.onto_part(number, index, on_body))
            torch.maximum(dark, distance.div_(2 * softness).add_(0.5).clamp_(0, 1), out=dark)
    dark = dark * dark * (3 - 2 * dark)
    full = [(length - 1) * step + 1 for length in dark.shape]
    fine = interpolate(dark[None, None], size=full, mode="bilinear", align_corners=True)[0, 0]
    canvas[:, y0:y1, x0:x1] *= 1 - world.light.shadow * fine[: y1 - y0, : x1 - x0]

"""What an eye sees in a square room with flat objects that always face it, for many eyes at once.

Every column of a picture shows one wall at one depth, and perhaps objects before it. How a column
of wall looks depends on the place along the wall and on the depth alone; how a column of an object
looks, on the column of its picture and on the depth. So both are drawn once, for steps of a few
per cent in depth, and a frame is put together from whole columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from scalable_binding.envs import sprites

WALL_HEIGHT = 128.0
EYE_HEIGHT = 48.0
OBJECT_SIZE = 72.0
"""Side of the square that an object's picture fills; it stands on the floor."""

NEAR = 12.0
_FAR = 720.0
_WALL_LEVELS, _OBJECT_LEVELS = 144, 64
_WALL_COLUMNS = 64
_SUPERSAMPLING = 4
_FOV = math.pi / 2
FLOOR, CEILING = (96.0, 84.0, 74.0), (120.0, 132.0, 150.0)
_WALLS = ((196.0, 92.0, 72.0), (88.0, 148.0, 96.0), (92.0, 116.0, 190.0), (206.0, 176.0, 96.0))


@dataclass(frozen=True)
class Eyes:
    """Where the eyes are, and what stands in their rooms.

    Attributes:
        position: x, y; inside the room.
        heading: in radians, counter-clockwise from +x.
        objects: x, y of every object.
        pictures: number of each object's picture among those given to the camera.
    """

    position: Float[Tensor, "e 2"]
    heading: Float[Tensor, " e"]
    objects: Float[Tensor, "e j 2"]
    pictures: Int64[Tensor, "e j"]


class Camera:
    """Draws frames of ``size`` by ``size`` pixels with a field of view of 90 degrees.

    Args:
        size: side of a frame, in pixels.
        side: of the room.
        kinds: which sprites there are; an object's picture is an index into these.
    """

    def __init__(self, size: int, side: float, kinds: tuple[int, ...]) -> None:
        self.size, self.side = size, side
        self.focus = focus(size)
        self.columns = 16 if size <= 48 else 24
        ticks = (torch.arange(size) + 0.5 - size / 2) / self.focus
        self._slopes = ticks.flip(0)
        self._walls = render_walls(size)
        self._objects = render_objects(size, kinds, self.columns)

    def shoot(self, eyes: Eyes) -> UInt8[Tensor, "e 3 h w"]:
        """The frames that the eyes see."""
        forward = torch.stack((eyes.heading.cos(), eyes.heading.sin()), dim=-1)
        strips = self._walls.index_select(0, self._find_walls(eyes.position, forward).flatten())
        self._paint_objects(strips, eyes, forward)
        frames = strips.view(len(eyes.position), self.size, 3 * self.size)
        flipped = frames.transpose(1, 2).contiguous()
        return flipped.view(-1, 3, self.size, self.size)

    def _find_walls(
        self, position: Float[Tensor, "e 2"], forward: Float[Tensor, "e 2"]
    ) -> Int64[Tensor, "e w"]:
        """Which strip of wall each column shows."""
        cos, sin = forward[:, :1], forward[:, 1:]
        rays_x, rays_y = cos - self._slopes * sin, sin + self._slopes * cos
        x, y = position[:, :1], position[:, 1:]
        to_x = torch.where(rays_x > 0, self.side - x, -x) / rays_x
        to_y = torch.where(rays_y > 0, self.side - y, -y) / rays_y
        # A ray along a wall divides by 0 and never meets the other pair.
        to_x, to_y = to_x.nan_to_num(_FAR, _FAR, _FAR), to_y.nan_to_num(_FAR, _FAR, _FAR)
        across = to_x < to_y
        depth = torch.where(across, to_x, to_y)
        along = torch.where(across, y + to_x * rays_y, x + to_y * rays_x)
        column = (along * (_WALL_COLUMNS / self.side)).long().clamp(0, _WALL_COLUMNS - 1)
        wall = torch.where(across, (rays_x > 0).long(), 2 + (rays_y > 0).long())
        level = nearest_level(depth, _WALL_LEVELS)
        return (wall * _WALL_COLUMNS + column) * _WALL_LEVELS + level

    def _paint_objects(
        self, strips: UInt8[Tensor, "n d"], eyes: Eyes, forward: Float[Tensor, "e 2"]
    ) -> None:
        """Draw the objects over the columns of the walls, the farthest first."""
        offset = eyes.objects - eyes.position[:, None]
        cos, sin = forward[:, None, 0], forward[:, None, 1]
        depth = offset[..., 0] * cos + offset[..., 1] * sin
        right = offset[..., 0] * sin - offset[..., 1] * cos
        depth, order = depth.sort(dim=-1, descending=True)
        right, pictures = right.gather(-1, order), eyes.pictures.gather(-1, order)
        scale = self.focus / depth.clamp(min=NEAR)
        left = self.size / 2 + (right - OBJECT_SIZE / 2) * scale
        pixels = torch.arange(self.size) + 0.5
        share = (pixels - left[..., None]) / (OBJECT_SIZE * scale[..., None])
        seen = (share >= 0) & (share < 1) & (depth[..., None] > NEAR)
        level = nearest_level(depth, _OBJECT_LEVELS)
        starts = pictures * (self.columns * _OBJECT_LEVELS) + level
        # Objects that share a column lie in layers; there are seldom more than two of these.
        layers = seen.cumsum(1) * seen
        for layer in range(1, int(layers.amax()) + 1):
            eye, number, pixel = (layers == layer).nonzero(as_tuple=True)
            column = (share[eye, number, pixel] * self.columns).long()
            found = starts[eye, number] + column * _OBJECT_LEVELS
            _blend(strips, eye * self.size + pixel, self._objects.index_select(0, found))


def _blend(
    strips: UInt8[Tensor, "n d"], rows: Int64[Tensor, " m"], over: UInt8[Tensor, "m four h"]
) -> None:
    """Draw columns with opacity, whose colors are multiplied by it already, over strips."""
    under = strips.index_select(0, rows).view(len(rows), 3, over.shape[-1]).int()
    mixed = over[:, :3] + (under * (255 - over[:, 3:].int()) + 127) // 255
    strips.index_copy_(0, rows, mixed.clamp(max=255).byte().flatten(1))


def focus(size: int) -> float:
    """Pixels that a unit of width covers at depth 1."""
    return size / 2 / math.tan(_FOV / 2)


def level_depths(num_levels: int) -> Float[Tensor, " n"]:
    """The depths that strips are drawn at, evenly apart in their logarithm."""
    steps = torch.linspace(0, 1, num_levels)
    return NEAR * (_FAR / NEAR) ** steps


def nearest_level(depth: Float[Tensor, "*s"], num_levels: int) -> Int64[Tensor, "*s"]:
    """The number of the strip that comes nearest to a depth."""
    steps = (depth.clamp(NEAR, _FAR) / NEAR).log() / math.log(_FAR / NEAR)
    return (steps * (num_levels - 1)).round().long()


def shade(depth: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """How bright things at a depth are, 1 being right before the eye."""
    return 1 / (1 + depth / 900)


def wall_colors(
    along: Float[Tensor, "*s"], up: Float[Tensor, "*s"], wall: int
) -> Float[Tensor, "*s 3"]:
    """The color of a wall's points, 0 to 255, by place along it and height, in [0, 1]."""
    if wall == 0:
        dark = (torch.floor(12 * along) + torch.floor(4 * up)) % 2
    elif wall == 1:
        dark = torch.floor(20 * along) % 2
    elif wall == 2:
        dark = (torch.floor(5 * up) + 0 * along) % 2
    else:
        dark = ((torch.remainder(10 * along, 1) - 0.5).abs() + (up - 0.5).abs() < 0.4).float()
    tilt = 0.8 + 0.4 * along
    return (tilt * (1 - 0.3 * dark))[..., None] * torch.tensor(_WALLS[wall])


def _heights(size: int, depths: Float[Tensor, " n"]) -> Float[Tensor, "n fine"]:
    """How high above the floor the fine rows of a frame look at each depth."""
    fine = size * _SUPERSAMPLING
    rows = (fine / 2 - torch.arange(fine) - 0.5) / _SUPERSAMPLING
    return EYE_HEIGHT + rows * depths[:, None] / focus(size)


@cache
def render_walls(size: int) -> UInt8[Tensor, "n d"]:
    """Every column of wall, with floor and ceiling, of 3 x size bytes: by wall, place and depth."""
    depths = level_depths(_WALL_LEVELS)
    up = _heights(size, depths)
    away = (up - EYE_HEIGHT).abs() / depths[:, None]
    floor = shade(EYE_HEIGHT / away)[..., None] * torch.tensor(FLOOR)
    ceiling = shade((WALL_HEIGHT - EYE_HEIGHT) / away)[..., None] * torch.tensor(CEILING)
    along = (torch.arange(_WALL_COLUMNS)[:, None, None] + 0.5) / _WALL_COLUMNS
    strips = []
    for wall in range(4):
        place, height = torch.broadcast_tensors(along, up / WALL_HEIGHT)
        colors = wall_colors(place, height, wall)
        colors = colors * shade(depths)[:, None, None]
        colors = torch.where((up < 0)[..., None], floor, colors)
        colors = torch.where((up > WALL_HEIGHT)[..., None], ceiling, colors)
        strips.append(reduce(colors, "p n (h a) c -> p n c h", "mean", a=_SUPERSAMPLING))
    return rearrange(torch.stack(strips), "wall p n c h -> (wall p n) (c h)").round().byte()


@cache
def render_objects(
    size: int, kinds: tuple[int, ...], num_columns: int
) -> UInt8[Tensor, "n four h"]:
    """Every column of every object, colors times opacity and opacity: by kind, place and depth."""
    depths = level_depths(_OBJECT_LEVELS)
    up = _heights(size, depths) / OBJECT_SIZE
    inside = (up >= 0) & (up < 1)
    row = ((1 - up) * sprites.SIDE).long().clamp(0, sprites.SIDE - 1)
    bright = shade(depths)[:, None, None]
    strips = []
    for kind in kinds:
        pixels = sprites.render(kind).float()
        pixels = torch.cat([pixels[:3] * pixels[3:] / 255, pixels[3:]])
        edges = torch.linspace(0, sprites.SIDE, num_columns + 1).round().long().tolist()
        for low, high in pairwise(edges):
            column = pixels[:, :, low:high].mean(-1)
            fine = rearrange(column[:, row], "c n fine -> n fine c") * inside[..., None]
            fine = torch.cat([fine[..., :3] * bright, fine[..., 3:]], dim=-1)
            strip = reduce(fine, "n (h a) c -> n c h", "mean", a=_SUPERSAMPLING)
            strips.append(strip.round().byte())
    return torch.cat(strips)

"""Skill maps: the trajectories of each component of a task distribution, seen from above.

In the manner of Fig. 4.6, 4.8 and 4.13: position in the plane, and heading, time or what moves as
color.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.plots import canvas, grids

PUCK, HAND = (235.0, 60.0, 50.0), (120.0, 205.0, 250.0)
"""Colors of Fig. 4.8: what is pushed is red, what pushes is light blue."""

_GROUND, _EDGE = (26.0, 28.0, 34.0), (150.0, 152.0, 160.0)
_REACH = 2


@dataclass(frozen=True)
class Track:
    """Something that moves in the plane, once a trajectory.

    Attributes:
        positions: x, y, in the units of the plane; y points up.
        colors: of every position, 0 to 255.
    """

    positions: Float[Tensor, "n t 2"]
    colors: Float[Tensor, "n t 3"]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """What lies still, and how it is drawn.

    Attributes:
        low: x, y of the lower left corner.
        high: x, y of the upper right corner.
        places: x, y of objects, drawn as white dots.
        walls: x0, y0, x1, y1 of walls.
        size: width of a map in pixels; its height follows.
    """

    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (500.0, 500.0)
    places: Sequence[tuple[float, float]] = ()
    walls: Sequence[tuple[float, float, float, float]] = ()
    size: int = 120

    def __post_init__(self) -> None:
        if self.low[0] >= self.high[0] or self.low[1] >= self.high[1]:
            raise UserError("plane of a skill map", expected="low < high", got=str(self))

    @property
    def height(self) -> int:
        """Of a map, in pixels."""
        width, height = (high - low for low, high in zip(self.low, self.high, strict=True))
        return round(self.size * height / width)

    def pixels(self, points: Float[Tensor, "*s 2"]) -> Float[Tensor, "*s 2"]:
        """Where points of the plane lie in a map."""
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        shares = (points - low) / (high - low)
        last = torch.tensor([self.size - 1.0, self.height - 1.0])
        return torch.stack((shares[..., 0], 1 - shares[..., 1]), dim=-1) * last


def heading_colors(headings: Float[Tensor, "*s"]) -> Float[Tensor, "*s 3"]:
    """A color for every heading in radians, 0 to 255: once around the circle of hues.

    Source: Fig. 4.6, which takes the jet colors; these are alike, and meet at half a turn.
    """
    hue = torch.remainder(headings / (2 * math.pi), 1)[..., None] * 6
    channels = torch.tensor([5.0, 3.0, 1.0])
    ramp = torch.remainder(channels + hue, 6)
    return 255 * (1 - 0.9 * ramp.minimum(4 - ramp).clamp(0, 1))


def time_colors(num: int, length: int) -> Float[Tensor, "n t 3"]:
    """Colors that go from blue over green to yellow along every one of ``num`` trajectories."""
    stops = torch.tensor([[70.0, 90.0, 230.0], [40.0, 180.0, 160.0], [250.0, 230.0, 60.0]])
    row = functional.interpolate(stops.T[None], length, mode="linear", align_corners=True)[0].T
    return row.expand(num, length, 3)


def plain_colors(color: tuple[float, float, float], num: int, length: int) -> Tensor:
    """The same color everywhere, (n t 3)."""
    return torch.tensor(color).expand(num, length, 3)


def skill_maps(
    tracks: Sequence[Track],
    components: Int64[Tensor, " n"],
    num_components: int,
    plane: Plane,
) -> UInt8[Tensor, "k 3 h w"]:
    """A map for each component, with the trajectories that belong to it.

    Args:
        tracks: what moves, the last one drawn on top; all with the same n trajectories.
        components: which component each trajectory belongs to.
        num_components: k.
        plane: what lies still.

    Raises:
        UserError: there are no tracks, or not as many trajectories in each as components.
    """
    counts = {len(track.positions) for track in tracks}
    if counts != {len(components)}:
        got = " and ".join(map(str, sorted(counts))) or "none"
        raise UserError("trajectories of skill maps", expected=str(len(components)), got=got)
    maps = []
    for number in range(num_components):
        own = components == number
        picture = draw_ground(plane)
        for track in tracks:
            draw_ways(picture, plane.pixels(track.positions[own]), track.colors[own])
        draw_places(picture, plane)
        share = float(own.float().mean())
        canvas.text(picture, 3.0, 2.0, f"{100 * share:.0f}%", 10.0, canvas.WHITE)
        maps.append(canvas.finish(picture))
    return torch.stack(maps)


def compass(size: int) -> UInt8[Tensor, "3 size size"]:
    """The legend of headings: a ring whose color at each place is that of heading towards it."""
    ticks = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(-ticks, ticks, indexing="ij")
    radius = torch.hypot(x, y) / (size / 2)
    ring = (radius > 0.45) & (radius < 0.85)
    ground = torch.full((size, size, 3), 255.0)
    colors = torch.where(ring[..., None], heading_colors(torch.atan2(y, x)), ground)
    return canvas.finish(rearrange(colors, "h w c -> c h w"))


def evolution(
    rounds: Sequence[UInt8[Tensor, "k 3 h w"]], names: Sequence[str]
) -> UInt8[Tensor, "3 height width"]:
    """The maps of several rounds, one below the other: how a distribution of tasks evolves.

    Raises:
        UserError: not as many names as rounds.
    """
    return grids.table(torch.stack(list(rounds)), rows=names)


def draw_ground(plane: Plane) -> Float[Tensor, "3 h w"]:
    """A canvas with the edge of the plane and its walls."""
    color = torch.tensor(_GROUND)[:, None, None]
    picture = color.expand(3, plane.height, plane.size).clone()
    for x0, y0, x1, y1 in plane.walls:
        ends = plane.pixels(torch.tensor([[x0, y0], [x1, y1]]))
        canvas.line(picture, ends, 2.0, _EDGE, torch.ones(2))
    canvas.box(picture, (0.0, 0.0, plane.size - 1.0, plane.height - 1.0), 1.5, _EDGE)
    return picture


def draw_places(picture: Float[Tensor, "3 h w"], plane: Plane) -> None:
    """Draw the objects of the plane as white dots."""
    radius = max(2.0, plane.size / 45)
    for place in plane.pixels(torch.tensor(plane.places).reshape(-1, 2)):
        canvas.disc(picture, place, radius + 1, canvas.BLACK)
        canvas.disc(picture, place, radius, canvas.WHITE)


def draw_ways(
    picture: Float[Tensor, "3 h w"],
    points: Float[Tensor, "n t 2"],
    colors: Float[Tensor, "n t 3"],
) -> None:
    """Draw lines through points, in pixels; where lines cross, their colors mix."""
    _, height, width = picture.shape
    places, inks = _fill(points, colors)
    weights, sums = torch.zeros(height * width), torch.zeros(height * width, 3)
    for row in range(-_REACH, _REACH + 1):
        for column in range(-_REACH, _REACH + 1):
            pixel = places.round() + torch.tensor([column, row])
            distance = torch.linalg.vector_norm(pixel - places, dim=-1)
            weight = (1.6 - distance).clamp(0, 1)
            x, y = pixel.long().unbind(-1)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (weight > 0)
            index = (y * width + x)[inside]
            weights.index_add_(0, index, weight[inside])
            sums.index_add_(0, index, weight[inside, None] * inks[inside])
    mean = sums / weights.clamp(min=1e-6)[:, None]
    cover = rearrange(weights.clamp(max=1), "(h w) -> h w", w=width)
    picture.lerp_(rearrange(mean, "(h w) c -> c h w", w=width), cover)


def _fill(
    points: Float[Tensor, "n t 2"], colors: Float[Tensor, "n t 3"]
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "m 3"]]:
    """Points at most about a pixel apart along the trajectories, and their colors."""
    if points.numel() == 0:
        return points.reshape(-1, 2), colors.reshape(-1, 3)
    longest = float((points.diff(dim=1)).abs().amax()) if points.shape[1] > 1 else 0.0
    pieces = min(64, max(1, math.ceil(longest)))
    shares = torch.arange(pieces) / pieces
    steps = points[:, :-1, None] + shares[:, None] * points.diff(dim=1)[:, :, None]
    # A piece has the color of the state that it leads to.
    inks = colors[:, 1:, None].expand(-1, -1, pieces, -1)
    places = torch.cat([steps.reshape(-1, 2), points[:, -1]])
    return places, torch.cat([inks.reshape(-1, 3), colors[:, -1]])

"""Films of what an agent does: what it sees above, where it is on a map below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.plots import canvas, grids, skills
from scalable_binding.plots.skills import Plane

GOAL = (255.0, 214.0, 10.0)
_REACHED = (90.0, 220.0, 110.0)


@dataclass(frozen=True)
class Episode:
    """What happened in an episode.

    Attributes:
        positions: where the agent was at each moment, in the units of the plane.
        colors: of these positions, 0 to 255.
        goal: x, y of the goal.
        radius: at which it counts as reached.
        frames: what was seen at these moments; None shows the map alone.
    """

    positions: Float[Tensor, "t 2"]
    colors: Float[Tensor, "t 3"]
    goal: tuple[float, float]
    radius: float
    frames: UInt8[Tensor, "t 3 h w"] | None = None


def film(
    rows: Sequence[Sequence[Episode]], plane: Plane, *, names: Sequence[str] = ()
) -> Iterator[UInt8[Tensor, "3 height width"]]:
    """The frames of a film that shows episodes side by side, and trials one below the other.

    Args:
        rows: the episodes of each trial; all of one length.
        plane: what the maps show besides.
        names: of the rows.

    Raises:
        UserError: there are no episodes, or of several lengths.
    """
    lengths = {len(episode.positions) for row in rows for episode in row}
    if len(lengths) != 1:
        got = " and ".join(map(str, sorted(lengths))) or "none"
        raise UserError("length of the episodes of a film", expected="one", got=got)
    columns = [f"episode {number}" for number in range(1, len(rows[0]) + 1)]
    ground = skills.draw_ground(plane)
    skills.draw_places(ground, plane)
    for moment in range(lengths.pop()):
        panels = torch.stack(
            [
                torch.stack([_panel(episode, moment, plane, ground.clone()) for episode in row])
                for row in rows
            ]
        )
        yield grids.table(panels, rows=names, columns=columns)


def _panel(
    episode: Episode, moment: int, plane: Plane, picture: Float[Tensor, "3 h w"]
) -> UInt8[Tensor, "3 height w"]:
    """What is seen at a moment, and below it the way that led there."""
    _draw_map(picture, episode, moment, plane)
    if episode.frames is None:
        return canvas.finish(picture)
    view = functional.interpolate(
        episode.frames[moment, None].float(), (plane.size, plane.size), mode="nearest"
    )[0]
    return torch.cat([view.byte(), canvas.finish(picture)], dim=1)


def _draw_map(picture: Float[Tensor, "3 h w"], episode: Episode, moment: int, plane: Plane) -> None:
    way = slice(0, moment + 1)
    skills.draw_ways(picture, plane.pixels(episode.positions[None, way]), episode.colors[None, way])
    goal = torch.tensor(episode.goal)
    reached = torch.linalg.vector_norm(episode.positions[way] - goal, dim=-1) <= episode.radius
    edge = torch.stack((goal, goal + torch.tensor([episode.radius, 0.0])))
    _ring(picture, plane.pixels(edge), _REACHED if bool(reached.any()) else GOAL)
    here = plane.pixels(episode.positions[moment])
    canvas.disc(picture, here, plane.size / 28, canvas.BLACK)
    canvas.disc(picture, here, plane.size / 40, episode.colors[moment])


def _ring(
    picture: Float[Tensor, "3 h w"],
    edge: Float[Tensor, "2 2"],
    color: tuple[float, float, float],
) -> None:
    """A circle around the first point through the second."""
    radius = float(torch.linalg.vector_norm(edge[1] - edge[0]))
    angles = torch.linspace(0, 2 * torch.pi, 33)
    points = edge[0] + radius * torch.stack((angles.cos(), angles.sin()), dim=-1)
    canvas.line(picture, points, 1.6, color, torch.ones(33))

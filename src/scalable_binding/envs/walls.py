"""Thin walls in the plane, and bodies that slide along them."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.errors import UserError

Segment = tuple[float, float, float, float]
"""x0, y0, x1, y1 of a wall that runs along an axis."""

Layout = Literal["open", "rooms", "spiral"]

LAYOUTS: dict[str, tuple[Segment, ...]] = {
    "open": (),
    "rooms": (
        (0.5, 0.0, 0.5, 0.15),
        (0.5, 0.35, 0.5, 0.65),
        (0.5, 0.85, 0.5, 1.0),
        (0.0, 0.5, 0.15, 0.5),
        (0.35, 0.5, 0.65, 0.5),
        (0.85, 0.5, 1.0, 0.5),
    ),
    "spiral": (
        (0.2, 0.0, 0.2, 0.8),
        (0.2, 0.8, 0.8, 0.8),
        (0.8, 0.2, 0.8, 0.8),
        (0.4, 0.2, 0.8, 0.2),
        (0.4, 0.2, 0.4, 0.6),
    ),
}
"""Walls inside a square of side 1: none; four rooms with doors; a corridor that winds inwards."""

_GAP = 1e-4


class Walls:
    """The walls inside a square room of a given side, as tensors.

    Raises:
        UserError: a wall runs along no axis, or leaves the square.
    """

    def __init__(self, segments: tuple[Segment, ...], side: float) -> None:
        self.side = side
        self.segments = segments
        upright = [wall for wall in segments if wall[0] == wall[2]]
        level = [wall for wall in segments if wall[1] == wall[3]]
        for wall in segments:
            if wall not in upright and wall not in level:
                raise UserError("a wall", expected="x0 = x1 or y0 = y1", got=str(wall))
            if min(wall) < 0 or max(wall) > 1:
                raise UserError("a wall", expected="numbers from 0 to 1", got=str(wall))
        self._upright = _as_tensor([(x, y0, y1) for x, y0, _, y1 in upright], side)
        self._level = _as_tensor([(y, x0, x1) for x0, y, x1, _ in level], side)

    def slide(
        self, position: Float[Tensor, "e 2"], move: Float[Tensor, "e 2"], radius: float
    ) -> Float[Tensor, "e 2"]:
        """Where a move ends: first along x, then along y, each as far as walls let a body go.

        Args:
            position: before the move, inside the room.
            move: the wanted displacement.
            radius: of the body; its centre comes no closer to a wall than this.
        """
        x, y = position.unbind(-1)
        x = self._advance(x, y, move[:, 0], self._upright, radius)
        y = self._advance(y, x, move[:, 1], self._level, radius)
        return torch.stack((x, y), dim=-1)

    def _advance(
        self,
        along: Float[Tensor, " e"],
        across: Float[Tensor, " e"],
        move: Float[Tensor, " e"],
        walls: Float[Tensor, "n 3"],
        radius: float,
    ) -> Float[Tensor, " e"]:
        """The coordinate after a move along one axis, which only walls across it can stop."""
        goal = (along + move).clamp(radius, self.side - radius)
        if len(walls) == 0:
            return goal
        place, low, high = walls.unbind(-1)
        across = across[:, None]
        meets = (across > low - radius) & (across < high + radius)
        ahead = along[:, None] < place
        limit = torch.where(ahead, place - radius - _GAP, place + radius + _GAP)
        upper = torch.where(meets & ahead, limit, torch.inf).amin(-1)
        lower = torch.where(meets & ~ahead, limit, -torch.inf).amax(-1)
        # A body that touches a corner from the side is already past the limit: it stays there.
        return goal.minimum(upper.maximum(along)).maximum(lower.minimum(along))


def _as_tensor(rows: list[tuple[float, float, float]], side: float) -> Float[Tensor, "n 3"]:
    ordered = [(place, min(ends), max(ends)) for place, *ends in rows]
    return side * torch.tensor(ordered).reshape(-1, 3)

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
        for wall in segments:
            if wall[0] != wall[2] and wall[1] != wall[3]:
                raise UserError("a wall", expected="x0 = x1 or y0 = y1", got=str(wall))
            if min(wall) < 0 or max(wall) > 1:
                raise UserError("a wall", expected="numbers from 0 to 1", got=str(wall))
        ends = side * torch.tensor(segments).reshape(-1, 2, 2)
        self._low, self._high = ends.amin(1), ends.amax(1)

    def slide(
        self, position: Float[Tensor, "e 2"], move: Float[Tensor, "e 2"], radius: float
    ) -> Float[Tensor, "e 2"]:
        """Where a move ends: first along x, then along y, each as far as walls let a body go.

        Args:
            position: before the move, inside the room.
            move: the wanted displacement.
            radius: half the side of the body, a square that touches walls with its edges.
        """
        position = position.clone()
        for axis in (0, 1):
            position[:, axis] = self._advance(position, move[:, axis], axis, radius)
        return position

    def _advance(
        self, position: Float[Tensor, "e 2"], move: Float[Tensor, " e"], axis: int, radius: float
    ) -> Float[Tensor, " e"]:
        """The coordinate after a move along one axis."""
        along, across = position[:, axis], position[:, 1 - axis, None]
        goal = (along + move).clamp(radius, self.side - radius)
        if not self.segments:
            return goal
        low, high = self._low - radius, self._high + radius
        meets = (across > low[:, 1 - axis]) & (across < high[:, 1 - axis])
        ahead = 2 * along[:, None] < low[:, axis] + high[:, axis]
        upper = torch.where(meets & ahead, low[:, axis] - _GAP, torch.inf).amin(-1)
        lower = torch.where(meets & ~ahead, high[:, axis] + _GAP, -torch.inf).amax(-1)
        # Rounding may leave a body a little past a limit: it stays there.
        return goal.minimum(upper.maximum(along)).maximum(lower.minimum(along))

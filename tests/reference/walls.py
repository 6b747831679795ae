"""A body that slides along walls, in steps so small that every wall is met by hand."""

from __future__ import annotations


def creep(
    position: tuple[float, float],
    move: tuple[float, float],
    segments: list[tuple[float, float, float, float]],
    side: float,
    radius: float,
    steps: int = 4_000,
) -> tuple[float, float]:
    """Where a square body of half-side ``radius`` ends: all of x first, then all of y."""
    place = list(position)
    for axis in (0, 1):
        for _ in range(steps):
            tried = list(place)
            tried[axis] += move[axis] / steps
            inside = radius <= tried[axis] <= side - radius
            if not inside or any(_touches(tried, wall, radius) for wall in segments):
                break
            place = tried
    return place[0], place[1]


def _touches(center: list[float], wall: tuple[float, float, float, float], radius: float) -> bool:
    x0, y0, x1, y1 = wall
    return (
        min(x0, x1) - radius < center[0] < max(x0, x1) + radius
        and min(y0, y1) - radius < center[1] < max(y0, y1) + radius
    )

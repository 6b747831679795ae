"""Which surface of a synthetic world a point of the screen shows: one point at a time."""

import math

from scalable_binding.data.synthetic.world import Placement

Polygon = list[tuple[float, float]]


def outlines(placements: list[Placement], frame: int) -> list[tuple[int, Polygon | None]]:
    """The number and the outline on the screen of every surface, from back to front.

    Outlines are the polygons through the mapped contours; None covers everything.
    """
    numbers = [0]
    for placement in placements:
        numbers.append(numbers[-1] + len(placement.body.parts))
    result: list[tuple[int, Polygon | None]] = []
    for body in sorted(range(len(placements)), key=lambda i: float(placements[i].depth[frame])):
        placement = placements[body]
        parts = placement.body.parts
        for part in sorted(range(len(parts)), key=lambda i: parts[i].layer):
            plane = parts[part].shape is None
            outline = None if plane else _outline(placement, part, frame)
            result.append((numbers[body] + part, outline))
    return result


def surface_at(surfaces: list[tuple[int, Polygon | None]], x: float, y: float) -> tuple[int, float]:
    """The number of the nearest surface whose outline encloses a point, by counting crossings.

    The second value is the distance in pixels to the closest outline of any part: near one, the
    answer may go either way.
    """
    seen, closest = 0, math.inf
    for number, outline in surfaces:
        if outline is None or _encloses(outline, x, y):
            seen = number
        if outline is not None:
            closest = min(closest, _distance(outline, x, y))
    return seen, closest


def _outline(placement: Placement, part: int, frame: int) -> Polygon:
    """The contour carried to the screen by the definition of every map, point by point."""
    polygon = []
    waves = placement.body.waves
    for x, y in placement.body.parts[part].shape.contour.tolist():
        x, y = _affine(placement.joints[frame, part].tolist(), x, y)
        for wave in range(len(waves.rate)):
            (kx, ky), (sx, sy) = waves.wavevector[wave].tolist(), waves.shift[wave].tolist()
            height = math.sin(kx * x + ky * y + float(placement.phases[frame, wave]))
            x, y = x + sx * height, y + sy * height
        polygon.append(_affine(placement.to_screen[frame].tolist(), x, y))
    return polygon


def _affine(matrix: list[list[float]], x: float, y: float) -> tuple[float, float]:
    (a, b, c), (d, e, f), _ = matrix
    return a * x + b * y + c, d * x + e * y + f


def _encloses(polygon: Polygon, x: float, y: float) -> bool:
    inside = False
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def _distance(polygon: Polygon, x: float, y: float) -> float:
    closest = math.inf
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        length = (x1 - x0) ** 2 + (y1 - y0) ** 2
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length if length else 0.0
        along = min(max(along, 0.0), 1.0)
        closest = min(closest, math.hypot(x0 + along * (x1 - x0) - x, y0 + along * (y1 - y0) - y))
    return closest

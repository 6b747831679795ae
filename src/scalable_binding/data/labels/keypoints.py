"""Key points: where named points are in each frame of a video, as CSV or JSON.

Coordinates are in pixels, x to the right and y down; (0, 0) is the center of the top left pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from scalable_binding import atomic, files
from scalable_binding.data.labels import tables
from scalable_binding.errors import UserError

_INTEGERS = ("frame", "id")
_REQUIRED = ("frame", "id", "x", "y")


@dataclass(frozen=True)
class Keypoint:
    """Point ``id`` (>= 0) in frame ``frame`` (>= 0) at pixel (``x``, ``y``).

    The confidence is in [0, 1]; 0 says that the point is not to be seen.
    """

    frame: int
    id: int
    x: float
    y: float
    confidence: float = 1.0


_NAMES = tuple(field.name for field in fields(Keypoint))


def read(path: str | Path) -> list[Keypoint]:
    """The points of a file, ordered by frame and id.

    A .csv has a first line that names its columns, ``frame,id,x,y`` and, if wanted, ``confidence``,
    in any order, with commas, semicolons or tabs between them (see ``labels.tables``); a .json is a
    list of objects with these names. Other columns are ignored.

    Raises:
        UserError: the file is missing, empty, of another kind or too large; a column is missing; a
            number is missing, malformed or out of range; a point occurs twice in a frame.
    """
    path = Path(path)
    rows = _parse(path)
    points = [_to_keypoint(f"{path}, {place}", row) for place, row in rows]
    if not points:
        raise UserError(f"{path}: no key points in this file")
    points.sort(key=lambda point: (point.frame, point.id))
    for before, after in pairwise(points):
        if (before.frame, before.id) == (after.frame, after.id):
            raise UserError(f"{path}: point {after.id} occurs twice in frame {after.frame}")
    return points


def _parse(path: Path) -> list[tuple[str, Mapping[str, object]]]:
    """The file's rows and how to name each in a message."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return [*tables.read(path, _REQUIRED, _NAMES)]
    if suffix == ".json":
        return _parse_json(path, files.read_text(path))
    raise UserError(f"key points {path}", expected="a name that ends in .csv or .json")


def _parse_json(path: Path, text: str) -> list[tuple[str, Mapping[str, object]]]:
    try:
        rows = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no valid JSON ({error})") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        example = '[{"frame": 0, "id": 1, "x": 12.5, "y": 30}]'
        raise UserError(f"{path}", expected=f"a list of objects such as {example}")
    return [(f"item {number}", row) for number, row in enumerate(rows)]


def _to_keypoint(place: str, row: Mapping[str, object]) -> Keypoint:
    given = [name for name in _NAMES if _is_given(row, name)]
    numbers = {name: tables.to_number(place, name, row[name]) for name in given}
    missing = [name for name in _REQUIRED if name not in numbers]
    if missing:
        raise UserError(f"{place}: {missing[0]} is missing")
    for name in _INTEGERS:
        if numbers[name] < 0 or numbers[name] != int(numbers[name]):
            raise UserError(
                f"{place}: {name}", expected="an integer >= 0", got=f"{numbers[name]:g}"
            )
    confidence = numbers.get("confidence", 1.0)
    if not 0 <= confidence <= 1:
        raise UserError(f"{place}: confidence", expected="0 to 1", got=f"{confidence:g}")
    return Keypoint(
        int(numbers["frame"]), int(numbers["id"]), numbers["x"], numbers["y"], confidence
    )


def _is_given(row: Mapping[str, object], name: str) -> bool:
    value = row.get(name)
    return value is not None and not (isinstance(value, str) and not value.strip())


def is_inside(x: float, y: float, height: int, width: int) -> bool:
    """Whether a place is in a frame of this size, borders of its outermost pixels included."""
    return -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5


def check_inside(points: Iterable[Keypoint], height: int, width: int) -> None:
    """Nothing, when every point that is to be seen lies in a frame of this size.

    Raises:
        UserError: names the first point outside.
    """
    for point in points:
        if point.confidence > 0 and not is_inside(point.x, point.y, height, width):
            raise UserError(
                f"point {point.id} in frame {point.frame} is outside the frame",
                expected=f"x up to {width - 1} and y up to {height - 1}",
                got=f"({point.x:g}, {point.y:g})",
            )


def write(path: str | Path, points: Iterable[Keypoint], separator: tables.Separator = ",") -> None:
    """Writes the points in the order given, as CSV or JSON by the name's end, whole or not at all.

    With a semicolon or a tab as ``separator`` numbers have a decimal comma, for spreadsheets.

    Raises:
        UserError: the name ends in neither .csv nor .json, or the file cannot be written.
    """
    path = Path(path)
    rows = [asdict(point) for point in points]
    if path.suffix.lower() == ".csv":
        content = tables.format_rows(_NAMES, rows, separator)
    elif path.suffix.lower() == ".json":
        content = json.dumps(rows, indent=1) + "\n"
    else:
        raise UserError(f"key points {path}", expected="a name that ends in .csv or .json")
    with atomic.replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")

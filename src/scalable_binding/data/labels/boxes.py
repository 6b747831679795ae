"""Boxes: where whole objects are in each frame of a video, seen or hidden, as CSV.

Coordinates are in pixels, x to the right and y down; (0, 0) is the center of the top left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from scalable_binding import atomic
from scalable_binding.data.labels import tables
from scalable_binding.errors import UserError

_INTEGERS = ("frame", "id")
_REQUIRED = ("frame", "id", "x0", "y0", "x1", "y1")
_FLAGS = {"1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True)
class Box:
    """Object ``id`` (>= 0) in frame ``frame`` (>= 0), from (``x0``, ``y0``) to (``x1``, ``y1``).

    ``visible`` says whether it is to be seen; the confidence, in [0, 1], how sure its place is.
    """

    frame: int
    id: int
    x0: float
    y0: float
    x1: float
    y1: float
    visible: bool = True
    confidence: float = 1.0

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1."""
        return self.x0, self.y0, self.x1, self.y1


_NAMES = tuple(field.name for field in fields(Box))


def read(path: str | Path) -> list[Box]:
    """The boxes of a file, ordered by frame and id.

    Its first line names the columns, ``frame,id,x0,y0,x1,y1`` and, if wanted, ``visible`` (1 or 0)
    and ``confidence``, in any order. Other columns are ignored.

    Raises:
        UserError: the file is missing, empty, too large or no CSV; a column is missing; a number
            is missing, malformed or out of range; a box has no area, or an object two boxes.
    """
    path = Path(path)
    boxes = [_to_box(f"{path}, {line}", row) for line, row in _rows(path)]
    if not boxes:
        raise UserError(f"{path}: no boxes in this file")
    boxes.sort(key=lambda box: (box.frame, box.id))
    for before, after in pairwise(boxes):
        if (before.frame, before.id) == (after.frame, after.id):
            raise UserError(f"{path}: object {after.id} has two boxes in frame {after.frame}")
    return boxes


def write(path: str | Path, boxes: Iterable[Box]) -> None:
    """Writes the boxes in the order given, as CSV, whole or not at all.

    Raises:
        UserError: the name does not end in .csv, or the file cannot be written.
    """
    path = Path(path)
    _check_name(path)
    rows = [{**asdict(box), "visible": int(box.visible)} for box in boxes]
    with atomic.replacing(path) as temporary:
        temporary.write_text(tables.format_rows(_NAMES, rows), encoding="utf-8")


def check_inside(boxes: Iterable[Box], height: int, width: int) -> None:
    """Nothing, when some of every visible box lies in a frame of this size.

    Raises:
        UserError: names the first box outside.
    """
    for box in boxes:
        inside = box.x1 > -0.5 and box.y1 > -0.5 and box.x0 < width - 0.5 and box.y0 < height - 0.5
        if box.visible and not inside:
            raise UserError(
                f"the box of object {box.id} in frame {box.frame} is outside the frame",
                expected=f"some of it with x from 0 to {width - 1} and y from 0 to {height - 1}",
                got=", ".join(f"{number:g}" for number in box.corners),
            )


def _rows(path: Path) -> list[tuple[str, tables.Row]]:
    _check_name(path)
    return tables.read(path, _REQUIRED, _NAMES)


def _check_name(path: Path) -> None:
    if path.suffix.lower() != ".csv":
        raise UserError(f"boxes {path}", expected="a name that ends in .csv")


def _to_box(place: str, row: Mapping[str, str | None]) -> Box:
    numbers = {name: _to_number(place, name, row.get(name)) for name in _REQUIRED}
    for name in _INTEGERS:
        if numbers[name] < 0 or numbers[name] != int(numbers[name]):
            got = f"{numbers[name]:g}"
            raise UserError(f"{place}: {name}", expected="an integer >= 0", got=got)
    if numbers["x1"] <= numbers["x0"] or numbers["y1"] <= numbers["y0"]:
        got = ", ".join(f"{numbers[name]:g}" for name in _REQUIRED[2:])
        raise UserError(f"{place}: box", expected="x0 < x1 and y0 < y1", got=got)
    confidence = _to_number(place, "confidence", row.get("confidence") or "1")
    if not 0 <= confidence <= 1:
        raise UserError(f"{place}: confidence", expected="0 to 1", got=f"{confidence:g}")
    flag = (row.get("visible") or "1").strip().lower()
    if flag not in _FLAGS:
        raise UserError(f"{place}: visible", expected="1 or 0", got=repr(flag)[:40])
    return Box(
        int(numbers["frame"]),
        int(numbers["id"]),
        numbers["x0"],
        numbers["y0"],
        numbers["x1"],
        numbers["y1"],
        visible=_FLAGS[flag],
        confidence=confidence,
    )


def _to_number(place: str, name: str, text: str | None) -> float:
    if text is None or not text.strip():
        raise UserError(f"{place}: {name} is missing")
    return tables.to_number(place, name, text)

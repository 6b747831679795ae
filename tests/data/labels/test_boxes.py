"""Boxes as CSV: there and back, and files that are wrong in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalable_binding.data.labels import boxes
from scalable_binding.data.labels.boxes import Box
from scalable_binding.errors import UserError

HEADER = "frame,id,x0,y0,x1,y1,visible,confidence\n"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    written = [
        Box(1, 2, 0.25, 1.0, 2.0, 3.5, visible=False, confidence=0.5),
        Box(0, 7, -3.0, 0.0, 4.0, 5.0),
        Box(0, 2, 1.0, 2.0, 3.0, 4.0),
    ]
    boxes.write(path, written)
    assert boxes.read(path) == [written[2], written[1], written[0]]
    assert path.read_text().startswith(HEADER)


def test_columns_come_in_any_order_and_flags_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text("x1, y1, x0, y0, id, frame, color\n3,4,1,2,5,0,red\n")
    assert boxes.read(path) == [Box(0, 5, 1.0, 2.0, 3.0, 4.0)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "no boxes in this file"),
        (HEADER, "no boxes in this file"),
        ("frame,id,x,y\n0,1,2,3\n", "its first line must name the columns"),
        (HEADER + "0,1,a,2,3,4,1,1\n", "line 2: x0: expected a number, got 'a'"),
        (HEADER + "0,1,nan,2,3,4,1,1\n", "line 2: x0: expected a number"),
        (HEADER + "0,1,1,2,3\n", "line 2: y1 is missing"),
        (HEADER + "0.5,1,1,2,3,4,1,1\n", "line 2: frame: expected an integer >= 0, got 0.5"),
        (HEADER + "0,-1,1,2,3,4,1,1\n", "line 2: id: expected an integer >= 0"),
        (HEADER + "0,1,3,2,3,4,1,1\n", "line 2: box: expected x0 < x1 and y0 < y1"),
        (HEADER + "0,1,1,2,3,4,2,1\n", "line 2: visible: expected 1 or 0, got '2'"),
        (HEADER + "0,1,1,2,3,4,1,2\n", "line 2: confidence: expected 0 to 1, got 2"),
        (HEADER + "0,1,1,2,3,4,1,1\n0,1,1,2,3,5,1,1\n", "object 1 has two boxes in frame 0"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        boxes.read(path)
    assert line in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("none.csv", None, "no such file"),
        ("boxes.json", b"[]", "a name that ends in .csv"),
        ("boxes.csv", b"\xff\xfe\x00", "not a text file in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    name: str, content: bytes | None, line: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=line):
        boxes.read(tmp_path / name)


def test_some_of_a_visible_box_is_in_the_frame() -> None:
    boxes.check_inside(
        [Box(0, 1, -9.0, 0.0, 9.0, 4.0), Box(0, 2, 90.0, 0.0, 99.0, 4.0, visible=False)], 10, 10
    )
    with pytest.raises(UserError, match="object 3 in frame 0 is outside"):
        boxes.check_inside([Box(0, 3, -9.0, 0.0, -1.0, 4.0)], 10, 10)

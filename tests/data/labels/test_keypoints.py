"""Key points: both kinds of file carry the same points, and every slip is named with its place."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalable_binding import files
from scalable_binding.data.labels import keypoints
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.errors import UserError

POINTS = [
    Keypoint(0, 1, 3.5, 4.0),
    Keypoint(0, 2, -7.25, 0.125, 0.5),
    Keypoint(3, 1, 1e4, 2.0, 0.0),
]

coordinates = st.floats(-1e6, 1e6)
point_lists = st.lists(
    st.builds(
        Keypoint, st.integers(0, 500), st.integers(0, 99), coordinates, coordinates, st.floats(0, 1)
    ),
    min_size=1,
    unique_by=lambda point: (point.frame, point.id),
)


@pytest.mark.parametrize("name", ["points.csv", "points.json"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(points=point_lists)
def test_what_is_written_is_read_in_order(tmp_path, name, points):
    keypoints.write(tmp_path / name, points)
    in_order = sorted(points, key=lambda point: (point.frame, point.id))
    assert keypoints.read(tmp_path / name) == in_order


def test_the_csv_is_plain(tmp_path):
    keypoints.write(tmp_path / "points.csv", POINTS)
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert lines[:3] == ["frame,id,x,y,confidence", "0,1,3.5,4.0,1.0", "0,2,-7.25,0.125,0.5"]


def test_columns_may_come_in_any_order_and_confidence_is_optional(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("\ufeffname, y, x, id, frame\nnose, 4, 3.5, 1, 0\n\n", encoding="utf-8")
    assert keypoints.read(path) == [Keypoint(0, 1, 3.5, 4.0)]
    path = tmp_path / "points.json"
    path.write_text(json.dumps([{"frame": 0, "id": 1, "x": 3.5, "y": 4}]))
    assert keypoints.read(path) == [Keypoint(0, 1, 3.5, 4.0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no key points"),
        ("frame,id,x,y\n", "no key points"),
        ("frame,id,x\n0,1,2\n", "must name the columns"),
        ("0,1,2,3\n", "must name the columns"),
        ("frame,id,x,y\n0,1,2\n", "line 2: y is missing"),
        ("frame,id,x,y\n0,1,2,\n", "line 2: y is missing"),
        ("frame,id,x,y\n0,1,2,3\n0,2,two,3\n", "line 3: x: expected a number, got 'two'"),
        ("frame,id,x,y\n0,1,nan,3\n", "x: expected a number"),
        ("frame,id,x,y\n0,1,inf,3\n", "x: expected a number"),
        ("frame,id,x,y\n-1,1,2,3\n", "frame: expected an integer >= 0, got -1"),
        ("frame,id,x,y\n0.5,1,2,3\n", "frame: expected an integer >= 0, got 0.5"),
        ("frame,id,x,y,confidence\n0,1,2,3,1.5\n", "confidence: expected 0 to 1"),
        ("frame,id,x,y\n0,1,2,3\n0,1,4,5\n", "point 1 occurs twice in frame 0"),
    ],
)
def test_slips_in_a_csv_are_named(tmp_path, content, message):
    (tmp_path / "points.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        keypoints.read(tmp_path / "points.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no key points"),
        ("[]", "no key points"),
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("{}", "expected a list of objects"),
        ("[1]", "expected a list of objects"),
        ('[{"frame": 0, "id": 1, "x": 2}]', "item 0: y is missing"),
        ('[{"frame": 0, "id": 1, "x": [2], "y": 3}]', "x: expected a number"),
        ('[{"frame": 0, "id": true, "x": 2, "y": 3}]', "id: expected a number"),
        ('[{"frame": 0, "id": 1, "x": NaN, "y": 3}]', "x: expected a number"),
        ('[{"frame": 1e999, "id": 1, "x": 2, "y": 3}]', "frame: expected a number"),
    ],
)
def test_slips_in_json_are_named(tmp_path, content, message):
    (tmp_path / "points.json").write_text(content)
    with pytest.raises(UserError, match=message):
        keypoints.read(tmp_path / "points.json")


def test_files_of_another_kind_or_size_are_refused(tmp_path, monkeypatch):
    (tmp_path / "points.txt").write_text("0 1 2 3")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    keypoints.write(tmp_path / "points.csv", POINTS)
    with pytest.raises(UserError, match=r"\.csv or \.json"):
        keypoints.read(tmp_path / "points.txt")
    with pytest.raises(UserError, match=r"\.csv or \.json"):
        keypoints.write(tmp_path / "points.txt", POINTS)
    with pytest.raises(UserError, match="UTF-8"):
        keypoints.read(tmp_path / "bytes.csv")
    with pytest.raises(UserError, match="no such file"):
        keypoints.read(tmp_path / "missing.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match="cannot read"):
        keypoints.read(tmp_path / "folder.csv")
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    with pytest.raises(UserError, match="at most 10 bytes"):
        keypoints.read(tmp_path / "points.csv")


def test_points_outside_the_frame_are_named_unless_hidden():
    inside = [Keypoint(0, 1, 0.0, 0.0), Keypoint(0, 2, 9.0, 4.0), Keypoint(0, 3, 99.0, 0.0, 0.0)]
    keypoints.check_inside(inside, height=5, width=10)
    for outside in (Keypoint(2, 7, 10.0, 0.0), Keypoint(2, 7, 0.0, -1.0)):
        with pytest.raises(UserError, match="point 7 in frame 2 is outside"):
            keypoints.check_inside([*inside, outside], height=5, width=10)

"""Labels go out to other tools' files and come back; damaged files are refused in one line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from app import scenes
from app.scenes import COUNT, overlap
from scalable_binding.app import exports
from scalable_binding.app.session import Session
from scalable_binding.data.labels import masks, rle
from scalable_binding.errors import UserError

TRUTH = scenes.scene()[1].numpy()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Two squares, of which the second is there from frame 3 to 8 only, and a point."""
    opened = scenes.session(tmp_path)
    for name in ("upper square", "lower square"):
        opened.add_object(name)
    corner = opened.add_object("corner", kind="point")
    for frame in range(COUNT):
        opened.set_mask(frame, 1, TRUTH[frame] == 1)
        if 3 <= frame <= 8:
            opened.set_mask(frame, 2, TRUTH[frame] == 2)
        opened.set_point(frame, corner.id, 24 + frame, 16)
    return opened


def another(session: Session, folder: Path) -> Session:
    return scenes.session(folder, session.frames.path)


@pytest.mark.parametrize("kind", ["png", "youtube-vos", "coco", "cvat"])
def test_masks_come_back_as_they_went_out(session: Session, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"labels{exports.FORMATS[kind].suffix}"
    session.export(kind, path)
    found = another(session, tmp_path / "new")
    found.import_labels(path)
    names = [each.name for each in found.objects if each.kind == "mask"]
    assert len(names) == 2
    if kind != "png":
        assert names == ["upper square", "lower square"]
    for frame in range(COUNT):
        np.testing.assert_array_equal(found.ids(frame), session.ids(frame))
    assert found.undo() == f"import {path.name}", "one step of the history"
    assert found.objects == [] and not found.statuses()


@pytest.mark.parametrize("kind", ["csv", "coco-keypoints", "cvat"])
def test_points_come_back(session: Session, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"points{exports.FORMATS[kind].suffix}"
    session.export(kind, path)
    found = another(session, tmp_path / "new")
    found.import_labels(path)
    (point,) = [each for each in found.objects if each.kind == "point"]
    for frame in range(COUNT):
        x, y, _ = found.points(frame)[point.id]
        assert (x, y) == pytest.approx((24 + frame, 16), abs=0.01)


def test_boxes_go_to_label_studio(session: Session, tmp_path: Path) -> None:
    session.export("label-studio", tmp_path / "tasks.json")
    found = another(session, tmp_path / "new")
    found.import_labels(tmp_path / "tasks.json")
    assert overlap(found.mask(5, 1), TRUTH[5] == 1) > 0.99


def test_names_find_their_objects_and_an_archive_is_a_folder(
    session: Session, tmp_path: Path
) -> None:
    folder = tmp_path / "exports"
    *_, (_, _, archive) = exports.export_archive(session.labels, "youtube-vos", folder)
    before = session.objects
    for frame in range(COUNT):
        session.clear(frame, 1)
    session.import_labels(archive)
    assert session.objects == before
    assert (session.mask(COUNT - 1, 1) == (TRUTH[-1] == 1)).all()


def test_a_single_mask_goes_to_its_frame_and_object(session: Session, tmp_path: Path) -> None:
    square = TRUTH[0] == 2
    masks.write(tmp_path / "mask.png", torch.from_numpy(square).byte() * 2)
    assert session.import_labels(tmp_path / "mask.png", frame=10) == 1
    assert (session.mask(10, 2) == square).all()
    run_lengths = rle.encode(square)
    content = {"size": list(square.shape), "counts": run_lengths.text.decode()}
    (tmp_path / "mask.json").write_text(json.dumps(content))
    session.remove_object(1)
    session.import_labels(tmp_path / "mask.json", frame=11, object_id=2)
    assert (session.mask(11, 2) == square).all()


def test_what_cannot_be_taken_changes_nothing(session: Session, tmp_path: Path) -> None:
    session.export("coco", tmp_path / "labels.json")
    session.lock(4)
    before = session.statuses()
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "short.json").write_text('{"size": [96, 160], "counts": [5]}')
    (tmp_path / "large.json").write_text('{"size": [9, 9], "counts": [81]}')
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    for name, line in [
        ("labels.json", "frame 4 is locked"),
        ("broken.zip", "cannot be unpacked"),
        ("short.json", "add up to 96 x 160"),
        ("large.json", r"size \[96, 160\]"),
        ("empty.zip", "no masks"),
        ("nothing.png", "nothing.png"),
    ]:
        with pytest.raises(UserError, match=line) as error:
            session.import_labels(tmp_path / name)
        assert "\n" not in str(error.value)
    assert session.statuses() == before

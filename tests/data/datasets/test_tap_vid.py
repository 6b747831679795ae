"""TAP-Vid's files: its pickles without running them, JPEG frames, and .npz."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from scalable_binding.data.datasets import tap_vid
from scalable_binding.errors import UserError


def video(num_frames: int = 3, num_points: int = 2) -> dict:
    rng = np.random.default_rng(0)
    return {
        "video": rng.integers(0, 256, (num_frames, 8, 10, 3), dtype=np.uint8),
        "points": rng.random((num_points, num_frames, 2)).astype(np.float32),
        "occluded": rng.random((num_points, num_frames)) < 0.5,
    }


def written(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_of_arrays_is_read(tmp_path, protocol):
    given = video()
    path = written(tmp_path / "tapvid.pkl", {"bear": given}, protocol)
    (load,) = tap_vid.read(path)
    found = load()
    assert found.name == "bear"
    np.testing.assert_array_equal(found.frames.movedim(1, -1).numpy(), given["video"])
    np.testing.assert_array_equal(found.points.numpy(), given["points"])
    np.testing.assert_array_equal(found.visible.numpy(), ~given["occluded"])


def test_a_list_of_videos_is_numbered(tmp_path):
    loads = tap_vid.read(written(tmp_path / "stacking.pkl", [video(), video(4)]))
    assert [load().name for load in loads] == ["0", "1"]


def test_frames_may_be_jpeg_files(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (10, 8), (200, 30, 90)).save(content, "JPEG", quality=95)
    given = video() | {"video": [content.getvalue()] * 3}
    (load,) = tap_vid.read(written(tmp_path / "kinetics.pkl", {"a": given}))
    frames = load().frames
    assert frames.shape == (3, 3, 8, 10) and (frames[0, 0].float() - 200).abs().max() < 8


def test_npz_files_of_a_folder_are_videos(tmp_path):
    np.savez(tmp_path / "one.npz", **video())
    (load,) = tap_vid.read(tmp_path)
    assert load().name == "one" and load().points.shape == (2, 3, 2)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch HARMED",)


def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "bad.pkl", {"a": video() | {"video": Hostile()}})
    with pytest.raises(UserError, match="system"):
        tap_vid.read(path)
    assert not (tmp_path / "HARMED").exists()


def test_an_array_of_objects_is_refused(tmp_path):
    given = video() | {"video": np.array([1, "two"], dtype=object)}
    with pytest.raises(UserError, match="expected numbers"):
        tap_vid.read(written(tmp_path / "bad.pkl", {"a": given}))


@pytest.mark.parametrize(
    "change",
    [
        {"points": np.zeros((2, 4, 2), dtype=np.float32)},
        {"occluded": np.zeros((2, 3), dtype=np.uint8)},
        {"video": np.zeros((3, 8, 10), dtype=np.uint8)},
        {"video": 5},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(tmp_path, change):
    (load,) = tap_vid.read(written(tmp_path / "bad.pkl", {"a": video() | change}))
    with pytest.raises(UserError, match=r"bad\.pkl, a"):
        load()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(5), pickle.dumps({})])
def test_what_is_no_set_of_videos_is_refused(tmp_path, content):
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.pkl"):
        tap_vid.read(path)


def test_places_are_shares_of_the_sides(tmp_path):
    given = video(1, 1) | {"points": np.full((1, 1, 2), 0.5, dtype=np.float32)}
    (load,) = tap_vid.read(written(tmp_path / "a.pkl", {"a": given}))
    torch.testing.assert_close(load().points, torch.full((1, 1, 2), 0.5))

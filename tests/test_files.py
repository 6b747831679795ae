"""The gate of every reader: regular files of bounded size, and anything else in one line."""

import os
import re
import socket
from pathlib import Path

import pytest

from scalable_binding import files
from scalable_binding.data import shards, zips
from scalable_binding.data.datasets import la_cater
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import boxes, flow_files, keypoints, masks, matlab
from scalable_binding.engine import checkpoint, config
from scalable_binding.errors import UserError

READERS = {
    "image.png": images.read,
    "mask.png": masks.read,
    "video.mp4": videos.read,
    "start.mp4": lambda path: videos.read(path, start=3),
    "probe.mp4": videos.probe,
    "points.csv": keypoints.read,
    "points.json": keypoints.read,
    "boxes.csv": boxes.read,
    "flow.flo": flow_files.read,
    "flow.npz": flow_files.read,
    "flow.png": flow_files.read,
    "joints.mat": lambda path: matlab.read(path, "joints"),
    "shard.tar": shards.index,
    "archive.zip": zips.index,
    "labels.json": lambda path: la_cater._boxes(path),
    "config.json": checkpoint.read_config,
    "settings.yaml": config.read,
    "model.safetensors": checkpoint._read_safetensors,
    "model.pth": lambda path: checkpoint._read_torch_file(path, 10**6),
    "card.json": files.read_json,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", READERS)
def test_only_regular_files_are_read(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    with pytest.raises(UserError, match="expected a regular file, got a FIFO"):
        READERS[name](path)
    path.unlink()
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))
        with pytest.raises(UserError, match="a socket"):
            READERS[name](path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a device"):
        READERS[name](path)


@pytest.mark.parametrize("name", READERS)
def test_names_that_no_file_can_have_are_one_line(tmp_path, name):
    stem, _, suffix = name.partition(".")
    for odd in (f"{stem}\udcff.{suffix}", f"{stem}\ud800.{suffix}", f"{stem}\0.{suffix}"):
        with pytest.raises(UserError, match="no such file"):
            READERS[name](tmp_path / odd)


def test_a_name_that_is_no_utf_8_is_read(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_text("words")
    assert files.read_text(path) == "words"


def test_files_are_read_up_to_their_limit(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("\ufeff0123456789")
    assert files.read_text(path) == "0123456789"
    assert files.read_bytes(path, most=13) == path.read_bytes()
    with pytest.raises(UserError, match="expected at most 12 bytes, got 13"):
        files.read_bytes(path, most=12)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="UTF-8"):
        files.read_text(path)
    with pytest.raises(UserError, match="got a folder"):
        files.read_bytes(tmp_path)


def test_a_file_that_says_nothing_of_its_size_is_bounded():
    endless = Path("/proc/self/pagemap")  # regular, of size 0, and longer than memory
    if not endless.exists():
        pytest.skip("no /proc here")
    with pytest.raises(UserError, match=r"expected at most 1000 bytes|cannot read"):
        files.read_bytes(endless, most=1000)


def test_json_that_is_none_is_one_line(tmp_path):
    path = tmp_path / "card.json"
    path.write_text('{"a": [1, 2.5]}')
    assert files.read_json(path) == {"a": [1, 2.5]}
    for damaged in ("{", "", "[" * 100_000, '{"a": 1}x'):
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"card\.json cannot be read .*delete it"):
            files.read_json(path, fix="delete it")


OPENERS = re.compile(r"\.read_text\(|\.read_bytes\(|\bnp\.load\(|\btorch\.load\(|\bsafe_open\(")
GATED = {
    "files.py": "the gate",
    "engine/checkpoint.py": "check_regular stands before torch.load and safe_open",
    "data/datasets/frame_store.py": "check_regular stands before np.load",
    "app/features.py": "np.load of what the gate has opened",
    "report/page.py": "pictures and the page of the package, written a moment before",
}


def test_no_reader_goes_around_the_gate():
    source = Path(files.__file__).parent
    found = {}
    for path in source.rglob("*.py"):
        text = re.sub(r"\bfiles\.read_(text|bytes)\(", "", path.read_text(encoding="utf-8"))
        if OPENERS.search(text):
            found[path.relative_to(source).as_posix()] = OPENERS.findall(text)
    assert set(found) <= set(GATED), found

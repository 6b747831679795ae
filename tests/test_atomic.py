"""Files are written whole or not at all, and a disk that refuses is told in one line."""

import errno
import os

import pytest

from scalable_binding import atomic
from scalable_binding.errors import UserError


def test_the_new_file_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "new" / "file.txt"
    for content in ("one", "two"):
        with atomic.replacing(path) as temporary:
            temporary.write_text(content)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def write_half(path, problem):
    with atomic.replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "part.txt").write_text("half")
        raise problem


@pytest.mark.parametrize("problem", [RuntimeError(), KeyboardInterrupt()])
def test_what_fails_leaves_the_old_file(tmp_path, problem):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(problem)):
        write_half(path, problem)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_refuses_is_told_in_one_line(tmp_path, code):
    reason = os.strerror(code)
    with pytest.raises(UserError, match=f"cannot write .*{reason}"):
        write_half(tmp_path / "folder", OSError(code, reason))
    assert list(tmp_path.iterdir()) == []

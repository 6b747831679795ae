"""Output folders are not overwritten unasked, and an interruption says what it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalable_binding.cli import outputs
from scalable_binding.errors import UserError


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    outputs.prepare_folder(tmp_path / "a" / "b", overwrite=False)
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_folder_with_results_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "00000.png").touch()
    with pytest.raises(UserError, match="is not empty; choose another, or give --overwrite"):
        outputs.prepare_folder(tmp_path, overwrite=False)
    outputs.prepare_folder(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["00000.png"]


def test_a_file_in_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match=r"cannot write to .*out: "):
        outputs.prepare_folder(tmp_path / "out", overwrite=True)


def test_an_interrupted_block_says_what_is_kept() -> None:
    with pytest.raises(KeyboardInterrupt, match="all of it"), outputs.keeping("all of it"):
        raise KeyboardInterrupt


def test_other_errors_pass_through() -> None:
    with pytest.raises(UserError, match="mine"), outputs.keeping("all of it"):
        raise UserError("mine")

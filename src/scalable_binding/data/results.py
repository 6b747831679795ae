"""Result files: how they are numbered, and inputs that they must not replace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalable_binding.errors import UserError

NUMBER = "[0-9]" * 5
"""What results are numbered by: 00000.png, 00001.flo, ..."""


def remove_results(out: Path, *patterns: str, given: Sequence[Path] = ()) -> None:
    """Remove what an earlier call wrote to the folder ``out`` under names like these.

    Raises:
        UserError: one of these files, or a folder that it lies in, was ``given`` as input.
    """
    stale = [path for pattern in patterns for path in out.glob(pattern) if path.is_file()]
    for path in stale:
        for one in given:
            refuse_input(path, one)
            refuse_input(path.parent, one)
    for path in stale:
        path.unlink()


def refuse_input(target: Path, given: Path) -> None:
    """Nothing, unless results would take the place of what they are made from.

    Raises:
        UserError: both paths lead to the same file or folder.
    """
    if target.resolve() == given.resolve():
        raise UserError(f"{target} is the input itself", fix="choose another name for the output")

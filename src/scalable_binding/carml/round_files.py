"""What each round of a run began with: the scaffold of its tasks, and the agent of that time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from scalable_binding.engine import checkpoint
from scalable_binding.errors import UserError

FOLDER = "rounds"
GROUPS = ("scaffold", "whitening", "policy")


class Round(NamedTuple):
    """The tensors of a scaffold, of what whitens its rewards, and of the policy, by name."""

    number: int
    scaffold: dict[str, Tensor]
    whitening: dict[str, Tensor]
    policy: dict[str, Tensor]


def write_round(
    run: Path, number: int, source: Mapping[str, Tensor], policy: Mapping[str, Tensor]
) -> None:
    """Keep a round that begins, from the state of its task source and the policy's weights.

    Sources without a scaffold leave nothing.

    Raises:
        UserError: the folder cannot be written.
    """
    kept = {n: t for n, t in source.items() if n.startswith(("scaffold.", "whitening."))}
    if not kept:
        return
    (run / FOLDER).mkdir(exist_ok=True)
    tensors = kept | {f"policy.{name}": tensor for name, tensor in policy.items()}
    checkpoint.save_tensors(tensors, run / FOLDER / f"{number:02d}.safetensors", step=number)


def list_rounds(run: Path) -> list[int]:
    """The numbers of the rounds that a run has kept, from 1."""
    names = [path.stem for path in (run / FOLDER).glob("*.safetensors")]
    return sorted(int(name) for name in names if re.fullmatch(r"\d+", name))


def read_round(run: Path, number: int | None = None) -> Round:
    """A round of a run, by default its last.

    Raises:
        UserError: the run has not kept such a round, or its file is damaged.
    """
    numbers = list_rounds(run)
    if not numbers or (number is not None and number not in numbers):
        got = ", ".join(map(str, numbers)) or "none"
        what = "a round of tasks" if number is None else f"round {number}"
        raise UserError(f"run {run}", expected=what, got=got)
    chosen = numbers[-1] if number is None else number
    tensors = checkpoint.read_tensors(run / FOLDER / f"{chosen:02d}.safetensors")
    parts: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        if group not in parts:
            raise UserError(f"round {chosen} of {run} is damaged: it holds {name!r}")
        parts[group][rest] = tensor
    return Round(chosen, **parts)

"""Bounds of options: what no command accepts, whatever it would do with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scalable_binding.errors import UserError

LARGEST = 2**63 - 1

BOUNDS: dict[str, tuple[float, float, str]] = {
    "seed": (0, LARGEST, "a whole number from 0 to 2^63 - 1"),
    "fps": (1e-3, 1e4, "0.001 to 10000 frames a second"),
    "num": (-LARGEST, 10**9, "at most 10^9"),
    "num_real": (-LARGEST, 10**9, "at most 10^9"),
    "samples": (-LARGEST, 10**6, "at most 10^6"),
    "frames": (-LARGEST, 10**6, "at most 10^6"),
    "steps": (-LARGEST, 10**6, "at most 10^6"),
    "batch_size": (-LARGEST, 10**6, "at most 10^6"),
    "size": (-LARGEST, 2**16, "at most 65536 pixels"),
    "trials": (-LARGEST, 10**6, "at most 10^6"),
    "episodes": (-LARGEST, 10**4, "at most 10^4"),
    "tasks": (-LARGEST, 10**6, "at most 10^6"),
    "updates": (-LARGEST, 10**12, "at most 10^12"),
    "limit": (-LARGEST, 10**9, "at most 10^9"),
}
"""Least and largest value by the name of an option, and how an error says it.

Of counts the least value is the command's own.
"""

FILES = ("report", "json", "overlay")
"""Options that name a file to write."""


def check_tokens(tokens: Iterable[str]) -> None:
    """Refuse arguments that are no text.

    Raises:
        UserError: bytes that are no UTF-8, or a zero byte.
    """
    for number, token in enumerate(tokens, start=1):
        try:
            token.encode()
        except UnicodeEncodeError as error:
            shown = token.encode(errors="backslashreplace").decode()
            raise UserError(f"argument {number}", expected="UTF-8 text", got=shown) from error
        if "\0" in token:
            raise UserError(f"argument {number}", expected="text without zero bytes")


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse values of options, and of settings grouped in dataclasses, that are out of bounds.

    Raises:
        UserError: one is.
    """
    for name, value in values.items():
        if dataclasses.is_dataclass(value):
            inner = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            check_values(inner)
        else:
            _check(name, value)


def _check(name: str, value: Any) -> None:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        least, largest, expected = BOUNDS.get(name, (-LARGEST, LARGEST, "at most 64 bits"))
        if isinstance(value, float) and name not in BOUNDS:
            least, largest, expected = -math.inf, math.inf, "a number"
        if not least <= value <= largest:
            got = str(value) if abs(value) < 10**30 or isinstance(value, float) else "more digits"
            raise UserError(option, expected=expected, got=got)
    if isinstance(value, Path) and name in FILES and value.name in ("", ".."):
        raise UserError(option, expected="the name of a file", got=repr(str(value)))

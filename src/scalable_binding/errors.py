"""The one exception for what a user caused, and the check that raises it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any


class UserError(ValueError):
    """Bad input: says in one line what is wrong, what was expected, what came and what to do.

    The command line prints the line and leaves with exit code 2; library callers can catch it
    as a ``ValueError``.

    >>> str(UserError("mask first.png", expected="480 x 854 pixels", got="240 x 427",
    ...               fix="resize it"))
    'mask first.png: expected 480 x 854 pixels, got 240 x 427; resize it'
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: str | None = None,
        fix: str | None = None,
    ) -> None:
        clauses = []
        if expected is not None:
            clauses.append(f"expected {expected}")
        if got is not None:
            clauses.append(f"got {got}")
        line = what if not clauses else f"{what}: {', '.join(clauses)}"
        if fix is not None:
            line = f"{line}; {fix}"
        super().__init__(" ".join(line.split()))


def require(name: str, value: object, holds: bool, expected: str) -> None:
    """Refuse a value of the setting ``name`` unless what is asked of it ``holds``.

    >>> require("steps", 0, 0 >= 1, "at least 1")
    Traceback (most recent call last):
    scalable_binding.errors.UserError: steps: expected at least 1, got 0

    Raises:
        UserError: it does not.
    """
    if not holds:
        raise UserError(name, expected=expected, got=str(value))


def require_least(name: str, value: int, least: int) -> None:
    """Refuse a value of the setting ``name`` that is below ``least``.

    Raises:
        UserError: it is.
    """
    require(name, value, value >= least, f"a whole number of at least {least}")


def require_one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value of the setting ``name`` that is none of the ``choices``.

    Raises:
        UserError: it is none.
    """
    names = list(choices)
    if value not in names:
        raise UserError(name, expected=f"one of {', '.join(names)}", got=repr(value))


def check_settings(
    config: Any,
    prefix: str = "",
    *,
    counts: str = "",
    least_zero: str = "",
    positive: str = "",
    unit: str = "",
    optional_counts: str = "",
    **choices: tuple[str, ...],
) -> None:
    """Refuse settings of a configuration that are out of range.

    Args:
        config: has the settings as attributes.
        prefix: of their names in errors.
        counts, least_zero, positive, unit, optional_counts: names, separated by spaces, of
            settings of at least 1, at least 0, above 0, in [0, 1], and of at least 1 or None.
        choices: the words that a setting may be, by its name.

    Raises:
        UserError: one is out of range.
    """

    def each(names: str, holds: Callable[[Any], bool], expected: str) -> None:
        for name in names.split():
            value = getattr(config, name)
            require(f"{prefix}{name}", value, holds(value), expected)

    each(counts, lambda value: value >= 1, "a whole number of at least 1")
    each(least_zero, lambda value: value >= 0, "a number of at least 0")
    each(positive, lambda value: 0 < value < math.inf, "a number above 0")
    each(unit, lambda value: 0 <= value <= 1, "a number in [0, 1]")
    each(optional_counts, lambda value: value is None or value >= 1, "at least 1, or none")
    for name, known in choices.items():
        value = getattr(config, name)
        require(f"{prefix}{name}", value, value in known, " or ".join(known))

"""The one exception for what a user caused, and the check that raises it."""

from __future__ import annotations

from collections.abc import Iterable


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

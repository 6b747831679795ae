"""The one exception for what a user caused."""

from __future__ import annotations


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

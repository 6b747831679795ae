"""Options that the commands of ``sbind carml`` share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from scalable_binding.errors import UserError

Asked = Parameter(
    help="What is asked: goal=X,Y, object=N, own (the environment's own reward), or "
    "FILE.py:FUNCTION, a function of observations and the true state that returns rewards."
)

TrustOption = Annotated[
    bool,
    Parameter(
        negative="",
        help="Import the module that the run's config.json names for its environment "
        "(module:Env). Without it nothing is imported.",
    ),
]


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        expected = f"a whole number of at least {least}"
        raise UserError(f"--{name}", expected=expected, got=str(value))

"""Options that the commands of ``sbind rin`` share."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.errors import UserError
from scalable_binding.rin.sampling_config import SamplingConfig

MAX_CLASSES = 1_000_000
"""A range of numbers beyond this is a slip of the hand."""


SamplingOptions = Annotated[SamplingConfig | None, Parameter(name="*", negative_iterable="")]


ClassesOption = Annotated[
    str | None,
    Parameter(
        help="Classes in turn, by number or name: 3, or 1,4,8, or 0..9, or cat,dog; "
        "without a class if not given."
    ),
]


DeviceOption = Annotated[
    str, Parameter(help="Where to run: 'auto' is a GPU if there is one, or 'cpu', 'cuda:1', ...")
]


OverwriteOption = Annotated[
    bool, Parameter(negative="", help="Write into a folder that has something in it.")
]


FormatOption = Annotated[
    Literal["mp4", "gif"], Parameter(name="--format", help="Of the videos that are written.")
]


_RUN_HELP = "A run's folder, or one of the networks that are shipped: 'digits', 'moving-digits'."


RunArgument = Annotated[str, Parameter(help=_RUN_HELP)]


def parse_classes(text: str) -> list[int | str]:
    """The numbers and names that ``0..9`` or ``1,4,cat`` spell, in their order.

    Raises:
        UserError: the text is neither.
    """
    classes: list[int | str] = []
    for part in (part.strip() for part in text.split(",")):
        first, dots, last = part.partition("..")
        is_range = first.isdecimal() and last.isdecimal() and len(last) < len(str(MAX_CLASSES))
        if not part or (dots and not (is_range and int(first) <= int(last))):
            expected = "numbers or names, such as 3 or 1,4,cat or 0..9"
            raise UserError("--classes", expected=expected, got=repr(text))
        if dots:
            classes += range(int(first), int(last) + 1)
        else:
            classes.append(int(part) if part.isdecimal() else part)
    return classes

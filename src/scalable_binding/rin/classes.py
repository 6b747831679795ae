"""Classes that samples are conditioned on, by number or by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from scalable_binding.errors import UserError
from scalable_binding.rin.model import DROPPED
from scalable_binding.rin.pretrained import Pretrained

NAMES_SHOWN = 10
"""Names of classes listed in an error, at most."""

Classes = Sequence[int | str]
"""Numbers of classes, or their names where a run knows them."""


def class_numbers(
    pretrained: Pretrained, num: int, classes: Classes | None, first: int = 0
) -> Int64[Tensor, " num"]:
    """Class of each of ``num`` samples from number ``first`` on, in turn; -1 for none.

    Raises:
        UserError: a class that the network does not know.
    """
    if classes is None:
        return torch.full((num,), DROPPED)
    numbers = [_number(pretrained, one) for one in classes]
    if not numbers:
        raise UserError("class of a sample", expected=_known(pretrained), got="none")
    return torch.tensor([numbers[number % len(numbers)] for number in range(first, first + num)])


def _number(pretrained: Pretrained, one: int | str) -> int:
    """The number of a class that may be given by its name."""
    if isinstance(one, str) and one in pretrained.classes:
        return pretrained.classes.index(one)
    if isinstance(one, str) or not 0 <= one < pretrained.model.num_classes:
        raise UserError("class of a sample", expected=_known(pretrained), got=str(one))
    return one


def _known(pretrained: Pretrained) -> str:
    """The classes that there are, in words."""
    count, names = pretrained.model.num_classes, pretrained.classes
    if not count:
        return "none: the network knows no classes"
    numbers = f"0 to {count - 1}"
    if not names:
        return numbers
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{numbers}, or a name: {shown}{', ...' if count > NAMES_SHOWN else ''}"

"""``sbind config presets``: the presets of a system."""

from __future__ import annotations

import inspect

from scalable_binding.cli.settings import (
    System,
)
from scalable_binding.cli.settings import presets as presets_of


def presets(system: System, /) -> None:
    """List the presets of a system, each with what it is for.

    Parameters
    ----------
    system
        The recipe whose presets to list.
    """
    known = presets_of(system)
    width = max(map(len, known), default=0)
    for name, function in known.items():
        print(f"{name:{width}}  {(inspect.getdoc(function) or '').partition(chr(10))[0]}".rstrip())

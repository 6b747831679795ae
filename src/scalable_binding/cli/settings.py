"""Configurations on the command line: a preset, then a file, then single settings."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from scalable_binding.errors import UserError

System = Literal["crw", "rin", "carml", "flow", "permanence"]

PresetOption = Annotated[str, Parameter(help="Named configuration to start from.")]
ConfigOption = Annotated[
    Path | None, Parameter(name="--config", help="YAML or JSON file of settings, over the preset.")
]
SettingsOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        show_default=False,
        help="One setting, over preset and file: --set fit.steps=9, or --fit.steps 9. "
        "'sbind config show' lists them all.",
    ),
]


def presets(system: System) -> dict[str, Callable[[], Any]]:
    """The presets of a system by name: the public functions of its module ``presets``.

    A name has hyphens where the function's has underscores.
    """
    module = importlib.import_module(f"scalable_binding.{system}.presets")
    return {
        name.replace("_", "-"): function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and not name.startswith("_")
    }


def configure(
    system: System, preset: str, file: Path | None = None, settings: Iterable[str] = ()
) -> Any:
    """The configuration that ``preset`` names, with those of ``file`` and ``settings`` over it.

    Raises:
        UserError: no such preset, an unreadable file, a setting that is not ``NAME=VALUE``, or
            one that the configuration does not have or refuses.
    """
    from scalable_binding.engine import config

    known = presets(system)
    name = preset.replace("_", "-")
    if name not in known:
        close = difflib.get_close_matches(preset, known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else None
        expected = f"one of {', '.join(known)}"
        raise UserError(f"{system} preset", expected=expected, got=repr(preset), fix=advice)
    chosen = known[name]()
    if file is not None:
        chosen = config.override(chosen, config.read(file))
    return config.override(chosen, pairs(settings))


def pairs(settings: Iterable[str]) -> dict[str, str]:
    """Names and values of ``NAME=VALUE`` texts; of one name given twice the last counts.

    Raises:
        UserError: a text without an equals sign.
    """
    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise UserError("setting", expected="NAME=VALUE", got=repr(setting))
        values[name.strip()] = value
    return values

"""``sbind config``: presets and their settings, to read, save and change."""

from __future__ import annotations

import inspect

from scalable_binding.cli.outputs import JsonOption, write_json
from scalable_binding.cli.settings import (
    ConfigOption,
    PresetOption,
    SettingsOption,
    System,
    configure,
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


def show(
    system: System,
    /,
    *,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
    json: JsonOption = None,
) -> None:
    """Print a configuration as YAML, each setting with what it accepts.

    What is printed is itself a file for --config.

    Parameters
    ----------
    system
        The recipe whose configuration to print.
    """
    from scalable_binding.engine.config import settings as settings_of
    from scalable_binding.engine.config import to_mapping

    chosen = configure(system, preset, config, settings)
    lines = [(f"{leaf.path}: {_as_yaml(leaf.value)}", leaf.accepts) for leaf in settings_of(chosen)]
    width = max(len(line) for line, _ in lines)
    for line, accepts in lines:
        print(f"{line:{width}}  # {accepts}")
    write_json(json, to_mapping(chosen))


def _as_yaml(value: object) -> str:
    """One value on one line of YAML."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("...\n").strip()

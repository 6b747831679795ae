"""``sbind config show``: a preset with overrides applied, as YAML."""

from __future__ import annotations

from scalable_binding.cli.outputs import JsonOption, write_json
from scalable_binding.cli.settings import (
    ConfigOption,
    PresetOption,
    SettingsOption,
    System,
    configure,
)


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

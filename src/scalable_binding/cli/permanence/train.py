"""``sbind permanence train``: train a tracker on synthetic games."""

from __future__ import annotations

from pathlib import Path

from scalable_binding.cli.outputs import (
    training_run,
)
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure


def train(
    *,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train a tracker on synthetic games; a run that was stopped goes on where it was.

    Parameters
    ----------
    run
        Folder for checkpoints and log.
    """
    chosen = configure("permanence", preset, config, settings)
    with training_run(run, "network"):
        from scalable_binding.permanence import train as training

        training.train(chosen, run)

"""``sbind flow train``: train a flow network on unlabeled videos."""

from __future__ import annotations

from pathlib import Path

from scalable_binding.cli.outputs import (
    training_run,
)
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure


def train(
    *data: Path,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train a network on unlabeled videos; a run that was stopped goes on where it was.

    Parameters
    ----------
    data
        Folders of videos, of frame folders or of tar shards; none if all clips are synthetic.
    run
        Folder for checkpoints, log and pictures.
    """
    chosen = configure("flow", preset, config, settings)
    with training_run(run, "network"):
        from scalable_binding.flow import train as training

        training.train(chosen, data, run)

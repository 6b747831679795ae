"""``sbind carml train``: an agent that makes its own tasks and learns to adapt to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import keeping
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure


def train(
    *,
    run: Path,
    preset: PresetOption = "maze",
    env: Annotated[
        str | None,
        Parameter(help="Environment instead of the preset's: a name, or a Gymnasium id."),
    ] = None,
    method: Annotated[
        str | None, Parameter(help="Source of the training tasks instead of the preset's.")
    ] = None,
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train an agent without rewards; a run that was stopped goes on where it was.

    Parameters
    ----------
    run
        Folder for checkpoints and log.
    """
    chosen = {"environment.name": env, "method": method}
    named = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    configuration = configure("carml", preset, config, [*named, *settings])
    with keeping(f"the last checkpoint is in {run}; the same command goes on from there"):
        from scalable_binding.carml import train as training

        training.train(configuration, run)
    if os.environ.get("RANK", "0") == "0":
        print(f"agent: {run}")

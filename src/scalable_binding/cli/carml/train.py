"""``sbind carml train``: unsupervised meta-reinforcement learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import training_run
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
    episode_length: Annotated[
        int | None, Parameter(help="Steps in an episode instead of the environment's own limit.")
    ] = None,
    observation: Annotated[
        str | None, Parameter(help="Entry of a Dict observation that the agent sees, by its key.")
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
    if env is not None and config is None:
        own = configure("carml", preset).environment
        named += ["environment.options=[]"] if env != own.name else []
    configuration = configure("carml", preset, config, [*named, *settings])
    environment = configuration.environment.with_options(
        episode_length=episode_length, observation=observation
    )
    configuration = replace(configuration, environment=environment)
    with training_run(run, "agent"):
        from scalable_binding.carml import train as training

        training.train(configuration, run)

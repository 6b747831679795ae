"""``sbind rin train``: train a network to generate images or videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import training_run
from scalable_binding.cli.settings import ConfigOption, SettingsOption, configure, pairs

FromOption = Annotated[
    str | None,
    Parameter(
        name="--from",
        help="Fine-tune this run, shipped network or hf://user/model; the size, the classes and "
        "the dropout may differ.",
    ),
]


def train(
    *data: Path,
    run: Path,
    preset: str | None = None,
    config: ConfigOption = None,
    settings: SettingsOption = (),
    initial: FromOption = None,
) -> None:
    """Train a network to generate; a run that was stopped goes on where it was.

    Parameters
    ----------
    data
        Folders of images, ZIP archives or tar shards, with a folder for each class; folders of
        videos for presets that predict; none for those that draw their data.
    run
        Folder for checkpoints, log and samples.
    preset
        Named configuration to start from; images32 where DATA is given, or else digits.
    """
    chosen = configure("rin", preset or ("images32" if data else "digits"), config, settings)
    network = None
    if initial is not None:
        from scalable_binding.engine.config import override
        from scalable_binding.rin import finetuning, inference

        network = inference.load(initial)
        # The network is that of the run, unless settings say otherwise.
        chosen = override(finetuning.starting_from(chosen, network), pairs(settings))
    with training_run(run, "network"):
        from scalable_binding.rin import train as training

        training.train(chosen, data, run, initial=network)

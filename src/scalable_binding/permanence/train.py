"""Training on games of hide and seek."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from scalable_binding.data.synthetic.games import hiding
from scalable_binding.data.synthetic.hiding import HidingClips
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import fit
from scalable_binding.permanence import model, objective
from scalable_binding.permanence.model import SpatialMemory
from scalable_binding.permanence.presets import GameConfig, PermanenceConfig


def train(
    config: PermanenceConfig, run: Path, *, clips: HidingClips | None = None
) -> SpatialMemory:
    """The network trained on games of the synthetic world, averaged over the run (EMA).

    Writes the run folder of :func:`scalable_binding.engine.fit.fit`; a run that was stopped goes
    on.

    Args:
        config: a preset, changed at will.
        run: the folder for everything that the run writes.
        clips: what ``open_clips`` gives, where several runs share it: games are painted once.

    Raises:
        UserError: a folder that cannot be written.
        Interrupted: the run was stopped; it is saved.
    """
    network = build(config)
    clips = clips or open_clips(config.games, config.fit.seed)
    loss = partial(objective.loss, config=config.loss)
    settings = to_mapping(config)
    record = {"system": "permanence", **network.arguments}
    record |= {name: settings[name] for name in ("games", "loss")}
    trained = fit(network, loss, clips, config.fit, run, record=record)
    assert isinstance(trained, SpatialMemory)
    return trained


def build(config: PermanenceConfig) -> SpatialMemory:
    """A fresh network whose weights are drawn from the run's seed."""
    return model.draw(config.fit.seed, **to_mapping(config.model), side=config.games.size)


def open_clips(config: GameConfig, seed: int) -> HidingClips:
    """The games to train on, of textures that those to score on never show."""
    world = hiding(size=config.size, num_frames=config.num_frames)
    return HidingClips(world, num_games=config.num_games, seed=seed)

"""A run of CARML that is over in two seconds, and has learned next to nothing."""

from scalable_binding.carml.presets import maze
from scalable_binding.carml.train import train
from scalable_binding.engine.config import override

SMALL = {
    "fit.steps": 3,
    "fit.batch_size": 8,
    "fit.log_every": 1,
    "fit.save_every": 100,
    "curriculum.period": 2,
    "curriculum.episodes": 2,
    "curriculum.first_trials": 24,
    "curriculum.reservoir": 24,
    "scaffold.mixture.components": 4,
    "scaffold.mixture.starts": 1,
    "discriminator.steps": 2,
    "discriminator.first_steps": 10,
    "rnd.steps": 1,
    "rnd.width": 16,
    "validation.every": 0,
    "model.widths": [8],
    "model.hidden": 8,
    "model.head": 8,
}


def small(**changes):
    """The configuration, with dots in names written as two underscores."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    return override(maze(), SMALL | named)


def make(folder, **changes):
    """Train it into a folder, and return the folder."""
    train(small(**changes), folder)
    return folder

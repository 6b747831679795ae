"""Environments by name: this package's own, and any that Gymnasium knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib import import_module
from typing import Any, TypeVar, get_args

import gymnasium
from torch import Generator

from scalable_binding.envs.batch import BatchEnv
from scalable_binding.envs.description import Description
from scalable_binding.envs.tasks import Split, TaskBatch
from scalable_binding.errors import UserError

_Config = TypeVar("_Config")


def make(name: str, num_envs: int, seed: int = 0, **options: Any) -> BatchEnv:
    """A batch of environments.

    Args:
        name: one of :data:`NAMES`; the id of a Gymnasium environment (``CartPole-v1``, or
            ``package.module:Mine-v0``, which imports the module that registers it); or
            ``package.module:function`` for environments that are a batch already:
            ``function(num_envs, seed, **options)`` returns a :class:`~batch.BatchEnv`.
        num_envs: how many are stepped together.
        seed: of all their randomness.
        options: of the environment's configuration, such as ``episode_length``; for an id of
            Gymnasium those of :class:`~scalable_binding.envs.vector.VectorConfig`, and all others
            go to the environment's constructor.

    Raises:
        UserError: an unknown environment or option, an option's value that makes no sense, or a
            package that is not installed.
    """
    maker = _MAKERS.get(name, partial(_make_gymnasium, name))
    return maker(num_envs, seed, options)


def describe(name: str, **options: Any) -> Description | None:
    """What an environment of this package says about itself; None for any other."""
    if name not in _DESCRIBED:
        return None
    module, implied = _DESCRIBED[name]
    describe_it = import_module(f"scalable_binding.envs.{module}").describe
    described: Description = describe_it(**{**options, **implied})
    return described


def sample_tasks(
    name: str, num: int, generator: Generator, split: Split = "test", **options: Any
) -> TaskBatch:
    """Test tasks of an environment, one for each of ``num`` copies of it.

    No goal of one split lies where another split has any: the plane is divided into cells, and
    every split has cells of its own, evenly spread.

    Args:
        name: of the environment, as :func:`make` takes it.
        num: how many.
        generator: of the tasks.
        split: "train" is what a supervised oracle may learn from.
        options: of the environment.

    Raises:
        UserError: an environment without test tasks, or an unknown split.
    """
    if split not in get_args(Split):
        raise UserError("split of tasks", expected=" or ".join(get_args(Split)), got=str(split))
    if num < 1:
        raise UserError("number of tasks", expected="at least 1", got=str(num))
    described = describe(name, **options)
    if described is None:
        known = ", ".join(_DESCRIBED)
        raise UserError("test tasks", expected=f"an environment that has some ({known})", got=name)
    return described.sample_tasks(num, generator, split)


def _make_maze(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.maze import Maze, MazeConfig

    return Maze(_configure("maze", MazeConfig, options), num_envs, seed)


def _make_room(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.room import Room, RoomConfig

    return Room(_configure("room", RoomConfig, options), num_envs, seed)


def _make_doom(layout: str, num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.doom import DoomConfig, DoomRoom
    from scalable_binding.envs.vector import VectorConfig, VectorEnv

    name = f"vizdoom-{layout}"
    game, others = _split(options, DoomConfig)
    config = _configure(name, DoomConfig, {**game, "layout": layout})
    length = config.episode_length
    others = {"worlds": "trial", **others, "episode_length": length}
    vector = _configure(name, VectorConfig, others)
    return VectorEnv(partial(DoomRoom, config), name, num_envs, seed, vector)


def _make_sawyer(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.sawyer import Sawyer, SawyerConfig

    return Sawyer(_configure("sawyer", SawyerConfig, options), num_envs, seed)


def _make_gymnasium(name: str, num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.vector import VectorConfig, VectorEnv

    ours, theirs = _split(options, VectorConfig)
    module, _, identity = name.rpartition(":")
    try:
        if module:
            maker = getattr(import_module(module), identity, None)
            if callable(maker):
                return _make_own(name, maker, num_envs, seed, options)
        gymnasium.spec(identity)
    except (gymnasium.error.Error, ImportError) as error:
        known = ", ".join(NAMES)
        raise UserError(
            f"environment {name!r}",
            expected=f"{known}, or the id of a Gymnasium environment",
            got=" ".join(str(error).split()),
        ) from error
    config = _configure(name, VectorConfig, ours)
    return VectorEnv(partial(_build, name, theirs), name, num_envs, seed, config)


def _make_own(
    name: str, maker: Callable[..., Any], num_envs: int, seed: int, options: dict[str, Any]
) -> BatchEnv:
    """A batch of a user's own.

    Raises:
        UserError: it is none, or of another size.
    """
    try:
        env = maker(num_envs, seed, **options)
    except Exception as error:  # whatever a user's code raises
        got = f"{type(error).__name__}: {error}"
        raise UserError(f"environment {name} cannot be made", got=got) from error
    if not isinstance(env, BatchEnv):
        missing = [n for n in _BATCH_MEMBERS if not hasattr(env, n)]
        got = f"{type(env).__name__} without {', '.join(missing)}"
        raise UserError(f"environment {name}", expected="a BatchEnv", got=got)
    if env.num_envs != num_envs:
        got = str(env.num_envs)
        raise UserError(f"environment {name}", expected=f"{num_envs} environments", got=got)
    return env


_BATCH_MEMBERS = (
    *("num_envs", "episode_length", "observation_space", "action_space"),
    *("resample_world", "reset", "step", "ground_truth", "state_dict", "load_state_dict", "close"),
)


def _build(name: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """The Gymnasium environment; a worker process calls this as well."""
    try:
        return gymnasium.make(name, **options)
    except Exception as error:  # whatever a user's environment raises
        got = f"{type(error).__name__}: {error}"
        raise UserError(f"environment {name} cannot be made", got=got) from error


def _split(options: dict[str, Any], config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are a configuration's, and the others."""
    names = {field.name for field in fields(config)}
    ours = {name: value for name, value in options.items() if name in names}
    return ours, {name: value for name, value in options.items() if name not in names}


def _configure(name: str, config: Callable[..., _Config], options: dict[str, Any]) -> _Config:
    """The configuration with these options, of the kinds that its defaults have."""
    defaults = {field.name: field.default for field in fields(config)}  # type: ignore[arg-type]
    for option in options:
        if option not in defaults:
            raise UserError(f"option of {name}", expected=", ".join(defaults), got=option)
    return config(**{o: _fit(name, o, defaults[o], value) for o, value in options.items()})


_WORDS = ("observation",)
"""Options that are words or None."""


def _fit(name: str, option: str, default: Any, value: Any) -> Any:
    """A value of a default's kind: whole numbers pass as numbers, lists as tuples."""
    if isinstance(default, float) and isinstance(value, int):
        return float(value)
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        if default and len(value) != len(default):
            raise UserError(
                f"{name}, {option}", expected=f"{len(default)} numbers", got=repr(value)
            )
        return tuple(
            _fit(name, option, (), part)
            if isinstance(part, list | tuple) and not default
            else _fit(name, option, 0.0, part)
            for part in value
        )
    kind = int if default is None else type(default)
    if option in _WORDS:
        kind = str
    if not (isinstance(value, kind) or (default is None and value is None)):
        expected = {int: "a whole number", float: "a number", str: "a word"}.get(kind, "numbers")
        raise UserError(f"{name}, {option}", expected=expected, got=repr(value))
    return value


_MAKERS: dict[str, Callable[[int, int, dict[str, Any]], BatchEnv]] = {
    "maze": _make_maze,
    "room": _make_room,
    "vizdoom-fixed": partial(_make_doom, "fixed"),
    "vizdoom-random": partial(_make_doom, "random"),
    "sawyer": _make_sawyer,
}

NAMES = tuple(_MAKERS)
"""What :func:`make` knows besides Gymnasium's ids."""

_DESCRIBED: dict[str, tuple[str, dict[str, Any]]] = {
    "maze": ("maze", {}),
    "room": ("room", {}),
    "vizdoom-fixed": ("doom", {"layout": "fixed"}),
    "vizdoom-random": ("doom", {"layout": "random"}),
    "sawyer": ("sawyer", {}),
}
"""The module whose ``describe`` speaks for each environment, and options that its name implies."""

"""Environments by name: this package's own, and any that Gymnasium knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from importlib import import_module
from typing import Any

import gymnasium

from scalable_binding.envs.batch import BatchEnv
from scalable_binding.errors import UserError


def make(name: str, num_envs: int, seed: int = 0, **options: Any) -> BatchEnv:
    """A batch of environments.

    Args:
        name: one of :data:`NAMES`, or the id of a Gymnasium environment (``CartPole-v1``, or
            ``package.module:Mine-v0``, which imports the module that registers it).
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


def _make_maze(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.maze import Maze, MazeConfig

    _refuse_others("maze", options, MazeConfig)
    return Maze(MazeConfig(**options), num_envs, seed)


def _make_room(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.room import Room, RoomConfig

    _refuse_others("room", options, RoomConfig)
    return Room(RoomConfig(**options), num_envs, seed)


def _make_doom(layout: str, num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.doom import DoomConfig, DoomRoom
    from scalable_binding.envs.vector import VectorConfig, VectorEnv

    name = f"vizdoom-{layout}"
    ours, theirs = _split(options, DoomConfig)
    _refuse_others(name, theirs, VectorConfig)
    config = DoomConfig(**{**ours, "layout": layout})
    length = config.episode_length
    vector = VectorConfig(**{"worlds": "trial", **theirs, "episode_length": length})
    return VectorEnv(partial(DoomRoom, config), name, num_envs, seed, vector)


def _make_sawyer(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.sawyer import Sawyer, SawyerConfig

    _refuse_others("sawyer", options, SawyerConfig)
    return Sawyer(SawyerConfig(**options), num_envs, seed)


def _make_gymnasium(name: str, num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.vector import VectorConfig, VectorEnv

    ours, theirs = _split(options, VectorConfig)
    module, _, identity = name.rpartition(":")
    try:
        if module:
            import_module(module)
        gymnasium.spec(identity)
    except (gymnasium.error.Error, ImportError) as error:
        known = ", ".join(NAMES)
        raise UserError(
            f"environment {name!r}",
            expected=f"{known}, or the id of a Gymnasium environment",
            got=" ".join(str(error).split()),
        ) from error
    config = VectorConfig(**ours)
    return VectorEnv(partial(_build, name, theirs), name, num_envs, seed, config)


def _build(name: str, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """The Gymnasium environment; a worker process calls this as well."""
    try:
        return gymnasium.make(name, **options)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise UserError(f"environment {name}", got=" ".join(str(error).split())) from error


def _split(options: dict[str, Any], config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that are a configuration's, and the others."""
    names = {field.name for field in fields(config)}
    ours = {name: value for name, value in options.items() if name in names}
    return ours, {name: value for name, value in options.items() if name not in names}


def _refuse_others(name: str, options: dict[str, Any], config: Any) -> None:
    _, others = _split(options, config)
    if others:
        known = ", ".join(field.name for field in fields(config))
        raise UserError(f"option of {name}", expected=known, got=", ".join(others))


_MAKERS: dict[str, Callable[[int, int, dict[str, Any]], BatchEnv]] = {
    "maze": _make_maze,
    "room": _make_room,
    "vizdoom-fixed": partial(_make_doom, "fixed"),
    "vizdoom-random": partial(_make_doom, "random"),
    "sawyer": _make_sawyer,
}

NAMES = tuple(_MAKERS)
"""What :func:`make` knows besides Gymnasium's ids."""

"""Environments by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from scalable_binding.envs.batch import BatchEnv
from scalable_binding.errors import UserError


def make(name: str, num_envs: int, seed: int = 0, **options: Any) -> BatchEnv:
    """A batch of environments of a name in :data:`NAMES`.

    Args:
        name: of the environment.
        num_envs: how many are stepped together.
        seed: of all their randomness.
        options: of the environment's configuration, such as ``episode_length``.

    Raises:
        UserError: an unknown environment or option, or an option's value makes no sense.
    """
    if name not in _MAKERS:
        raise UserError("environment", expected=", ".join(NAMES), got=repr(name))
    return _MAKERS[name](num_envs, seed, options)


def _make_maze(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.maze import Maze, MazeConfig

    return Maze(_configure("maze", MazeConfig, options), num_envs, seed)


def _make_room(num_envs: int, seed: int, options: dict[str, Any]) -> BatchEnv:
    from scalable_binding.envs.room import Room, RoomConfig

    return Room(_configure("room", RoomConfig, options), num_envs, seed)


def _configure(name: str, config: Callable[..., Any], options: dict[str, Any]) -> Any:
    """The configuration with these options."""
    known = [field.name for field in fields(config)]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise UserError(f"option of {name}", expected=", ".join(known), got=option)
    return config(**options)


_MAKERS: dict[str, Callable[[int, int, dict[str, Any]], BatchEnv]] = {
    "maze": _make_maze,
    "room": _make_room,
}

NAMES = tuple(_MAKERS)
"""What :func:`make` knows by name."""

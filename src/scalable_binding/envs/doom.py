"""The thesis' room of five objects in ViZDoom."""

from __future__ import annotations

import contextlib
import math
import tempfile
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
import torch
from einops import rearrange
from gymnasium import spaces
from torch.nn import functional

from scalable_binding.envs import sprites, wad
from scalable_binding.envs.layouts import FIXED_KINDS, FIXED_PLACES, START, sample_layouts
from scalable_binding.envs.room import describe as describe
from scalable_binding.envs.sprites import Kinds
from scalable_binding.errors import UserError, require

_START_TICS = 14
_WIDTH, _HEIGHT = 160, 120


@dataclass(frozen=True, kw_only=True)
class DoomConfig:
    """The room in ViZDoom, which is 500 units a side.

    Attributes:
        layout: "fixed", or "random": one of ``num_rooms`` for each seed.
        kinds: which half of the objects random rooms have.
        size: side of a frame, in pixels.
        episode_length: steps in an episode.
        frame_skip: tics of the game, of which there are 35 a second, in a step.
        turn: how far a step to the side turns, in degrees.
        num_rooms: how many random rooms there are.

    Raises:
        UserError: a number makes no sense.

    Source: Thesis 4.7.2; it leaves frame skip and turn open.
    """

    layout: Literal["fixed", "random"] = "fixed"
    kinds: Kinds = "train"
    size: int = 84
    episode_length: int = 50
    frame_skip: int = 4
    turn: float = 22.5
    num_rooms: int = 300

    def __post_init__(self) -> None:
        for name, choices in (("layout", ("fixed", "random")), ("kinds", get_args(Kinds))):
            value = getattr(self, name)
            require(f"vizdoom, {name}", value, value in choices, " or ".join(choices))
        require("vizdoom, size", self.size, 16 <= self.size <= _HEIGHT, f"16 to {_HEIGHT}")
        require(
            "vizdoom, episode_length", self.episode_length, self.episode_length >= 1, "at least 1"
        )
        require("vizdoom, frame_skip", self.frame_skip, 1 <= self.frame_skip <= 35, "1 to 35")
        require("vizdoom, turn", self.turn, 0 < self.turn <= 180, "above 0, at most 180 degrees")
        require("vizdoom, num_rooms", self.num_rooms, 1 <= self.num_rooms <= 9999, "1 to 9999")


class DoomRoom(gymnasium.Env[np.ndarray, Any]):
    """A square room with five objects, seen with ViZDoom's eyes.

    Frames are uint8 `(3 size size)`. Actions turn left, turn right, go forward; there is inertia.
    Rewards are 0. A seed given to ``reset`` chooses a random room; without one the room stays.
    ``ground_truth`` tells "position" `(2)`, "heading" in radians, "objects" `(5 2)`, "kinds" `(5)`.

    Raises:
        UserError: ViZDoom is not installed.
    """

    def __init__(self, config: DoomConfig | None = None) -> None:
        self.config = config or DoomConfig()
        self.observation_space = spaces.Box(
            0, 255, (3, self.config.size, self.config.size), np.uint8
        )
        self.action_space = spaces.Discrete(3)
        self._doom = _import()
        self._places, self._kinds = lay_out(self.config)
        self._turn = self.config.turn / self.config.frame_skip
        self._actions = [[-self._turn, 0.0], [self._turn, 0.0], [0.0, 1.0]]
        self._game = self._start(_write_wad(self.config))
        # Games end before the folder that their files are in goes.
        self._end = weakref.finalize(self, self._game.close)
        self._room = self._time = 0
        self._frame = self._look()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The view from the top of the room, looking into it."""
        super().reset(seed=seed)
        if seed is not None and len(self._places) > 1:
            self._room = int(np.random.default_rng(seed).integers(len(self._places)))
            self._game.set_doom_map(wad.map_name(self._room))
        self._game.new_episode()
        self._time = 0
        self._frame = self._look()
        return self._frame, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward 0, False, whether the episode is over, nothing."""
        if self._time < self.config.episode_length:
            self._game.make_action(self._actions[int(action)], self.config.frame_skip)
            self._time += 1
            self._frame = self._look()
        return self._frame, 0.0, False, self._time == self.config.episode_length, {}

    def ground_truth(self) -> dict[str, np.ndarray]:
        """The true state, for evaluation only."""
        variable = self._doom.GameVariable
        x, y, angle = (
            self._game.get_game_variable(which)
            for which in (variable.POSITION_X, variable.POSITION_Y, variable.ANGLE)
        )
        heading = math.radians((angle + 180) % 360 - 180)
        return {
            "position": np.array([x, y], np.float32),
            "heading": np.array(heading, np.float32),
            "objects": self._places[self._room],
            "kinds": self._kinds[self._room],
        }

    def close(self) -> None:
        """End the game."""
        self._end()

    def _look(self) -> np.ndarray:
        frame = torch.from_numpy(self._game.get_state().screen_buffer)
        size = (self.config.size, self.config.size)
        frames = rearrange(frame, "h w c -> 1 c h w")
        small = functional.interpolate(frames, size, mode="bilinear", antialias=True)
        return small[0].numpy()

    def _start(self, path: Path) -> Any:
        game, button = self._doom.DoomGame(), self._doom.Button
        game.set_doom_scenario_path(str(path))
        game.set_doom_config_path(str(path.with_suffix(".ini")))
        game.set_doom_map(wad.map_name(0))
        game.set_window_visible(False)
        game.set_screen_resolution(self._doom.ScreenResolution.RES_160X120)
        game.set_screen_format(self._doom.ScreenFormat.RGB24)
        for hide in ("hud", "weapon", "crosshair", "decals", "particles", "messages"):
            getattr(game, f"set_render_{hide}")(False)
        game.set_available_buttons([button.TURN_LEFT_RIGHT_DELTA, button.MOVE_FORWARD])
        # The first tics of an episode ignore actions; the limit of the game itself never counts.
        game.set_episode_start_time(_START_TICS)
        game.set_episode_timeout(2 * (self.config.episode_length + 1) * self.config.frame_skip + 99)
        # The game leaves an empty folder in the working directory.
        litter = Path("_vizdoom")
        kept = litter.exists()
        game.init()
        if not kept:
            with contextlib.suppress(OSError):
                litter.rmdir()
        return game


def lay_out(config: DoomConfig) -> tuple[np.ndarray, np.ndarray]:
    """Places (rooms 5 2) and kinds (rooms 5) of objects; the same ones for a configuration."""
    if config.layout == "fixed":
        return np.array([FIXED_PLACES], np.float32), np.array([FIXED_KINDS])
    halves = get_args(Kinds)
    generator = torch.Generator().manual_seed(halves.index(config.kinds))
    kinds = sprites.kinds(config.kinds)
    places, chosen = sample_layouts(config.num_rooms, len(kinds), generator)
    return places.numpy(), kinds[chosen].numpy()


def _import() -> ModuleType:
    try:
        import vizdoom
    except ImportError as error:
        raise UserError(
            "ViZDoom is not installed", fix="pip install 'scalable-binding[vizdoom]'"
        ) from error
    return vizdoom


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="scalable-binding-")


@cache
def _write_wad(config: DoomConfig) -> Path:
    """The rooms of a configuration in a file that goes when this process ends."""
    path = Path(_folder().name) / f"{config.layout}-{config.kinds}-{config.num_rooms}.wad"
    places, kinds = lay_out(config)
    path.write_bytes(wad.write(places, kinds, START[:2]))
    return path

"""A point in a square seen from above, with or without walls in its way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Shaped
from torch import Tensor

from scalable_binding.envs.batch import Actions, GroundTruth, Observations, Step
from scalable_binding.envs.description import Description
from scalable_binding.envs.layouts import SIDE
from scalable_binding.envs.tasks import Split, TaskBatch, goal_in_square, goals_of, sample_points
from scalable_binding.envs.walls import LAYOUTS, Layout, Segment, Walls
from scalable_binding.errors import require

_NUM_DIRECTIONS = 8
_MARGIN = 30.0
"""Of goals from the outer walls."""


@dataclass(frozen=True, kw_only=True)
class MazeConfig:
    """The maze that a batch of points moves in; lengths are in units of a square of side 500.

    Attributes:
        layout: "open", "rooms" or "spiral".
        walls: further walls (x0, y0, x1, y1) along an axis, in shares of the side.
        actions: "discrete", eight directions and staying, or "continuous", a vector in [-1, 1]^2.
        episode_length: steps in an episode.
        speed: how far a step goes at most.
        start: x, y where every episode begins, in shares of the side.
        radius: how close the point comes to a wall.
        noise: standard deviation of the displacement that chance adds to every step.

    Raises:
        UserError: a number makes no sense.
    """

    layout: Layout = "open"
    walls: tuple[Segment, ...] = ()
    actions: Literal["discrete", "continuous"] = "discrete"
    episode_length: int = 20
    speed: float = 32.0
    start: tuple[float, float] = (0.5, 0.04)
    radius: float = 5.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("layout", tuple(LAYOUTS)), ("actions", ("discrete", "continuous"))):
            value = getattr(self, name)
            require(f"maze, {name}", value, value in choices, " or ".join(choices))
        require("maze, episode_length", self.episode_length, self.episode_length >= 1, "at least 1")
        require("maze, speed", self.speed, 0 < self.speed <= SIDE, f"above 0, at most {SIDE:g}")
        require("maze, noise", self.noise, 0 <= self.noise < math.inf, "at least 0")
        require("maze, radius", self.radius, 0 < self.radius <= SIDE / 10, f"0 to {SIDE / 10:g}")
        fits = all(len(wall) == 4 for wall in self.walls)
        require("maze, walls", self.walls, fits, "x0, y0, x1, y1 for each")
        low, high = self.radius / SIDE, 1 - self.radius / SIDE
        inside = all(low <= share <= high for share in self.start)
        require("maze, start", self.start, inside, f"x, y from {low:g} to {high:g}")


class Maze:
    """A batch of points that move through the same maze: the world of Fig. 4.4.

    An observation is the position, scaled to [-1, 1] (float32, `(2)`). Along walls the point
    slides. ``ground_truth`` tells the "position" `(e 2)` in units of a square of side 500.

    Raises:
        UserError: the number of environments or the seed makes no sense.

    Source: Thesis 4.3.3 and 4.7.3, which leave the maze's measures open.
    """

    def __init__(self, config: MazeConfig | None = None, num_envs: int = 1, seed: int = 0) -> None:
        require("maze, num_envs", num_envs, num_envs >= 1, "at least 1")
        require("maze, seed", seed, seed >= 0, "at least 0")
        self.config = config or MazeConfig()
        self.num_envs = num_envs
        self.episode_length = self.config.episode_length
        self.observation_space: spaces.Box = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space: spaces.Discrete | spaces.Box
        if self.config.actions == "discrete":
            self.action_space = spaces.Discrete(_NUM_DIRECTIONS + 1)
        else:
            self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.walls = Walls(LAYOUTS[self.config.layout] + self.config.walls, SIDE)
        self._moves = self.config.speed * _compass()
        self._generator = torch.Generator().manual_seed(seed)
        self._time = 0
        self._position = self._starts()

    def resample_world(self) -> None:
        """Nothing: there is one maze."""

    def reset(self) -> Observations:
        """The start, once for every environment."""
        self._time = 0
        self._position = self._starts()
        return self._observe()

    def step(self, actions: Actions) -> Step:
        """The positions after a move; rewards are 0, the maze knows no task."""
        if self._time < self.episode_length:
            self._time += 1
            move = self._displace(actions)
            self._position = self.walls.slide(self._position, move, self.config.radius)
        done = torch.full((self.num_envs,), self._time == self.episode_length)
        return Step(self._observe(), torch.zeros(self.num_envs), done)

    def ground_truth(self) -> GroundTruth:
        """The "position" of every point, x and y from 0 to 500."""
        return {"position": self._position.clone()}

    def state_dict(self) -> dict[str, Tensor]:
        """Positions, the step of the episode, and the generator."""
        return {
            "position": self._position.clone(),
            "time": torch.tensor(self._time),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self._position = state["position"].clone()
        self._time = int(state["time"])
        self._generator.set_state(state["generator"])

    def close(self) -> None:
        """Nothing has to be let go of."""

    def _starts(self) -> Float[Tensor, "e 2"]:
        return SIDE * torch.tensor(self.config.start).expand(self.num_envs, 2)

    def _observe(self) -> Float[Tensor, "e 2"]:
        return to_states(self._position)

    def _displace(self, actions: Shaped[Tensor, "e *a"]) -> Float[Tensor, "e 2"]:
        if self.config.actions == "discrete":
            move = self._moves[actions]
        else:
            move = self.config.speed * actions.clamp(-1, 1)
        if self.config.noise == 0:
            return move
        return move + self.config.noise * torch.randn(move.shape, generator=self._generator)


def describe(**options: Any) -> Description:
    """The maze's plane, walls and test tasks: points at least 100 units from the start."""
    layout, walls = options.get("layout", "open"), tuple(options.get("walls", ()))
    scaled = [tuple(SIDE * share for share in wall) for wall in (*LAYOUTS[layout], *walls)]
    corners = (0.0, 0.0), (SIDE, SIDE)
    return Description(
        low=corners[0],
        high=corners[1],
        map_low=corners[0],
        map_high=corners[1],
        goal_task=goal_in_square,
        sample_tasks=_sample_tasks,
        walls=tuple(scaled),
    )


def _sample_tasks(num: int, generator: torch.Generator, split: Split) -> TaskBatch:
    start = SIDE * torch.tensor(MazeConfig().start)
    return goals_of(sample_points(num, generator, split, (_MARGIN, SIDE - _MARGIN), start))


def to_states(positions: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """What is observed of positions: each coordinate from [0, 500] to [-1, 1]."""
    return 2 * positions / SIDE - 1


def from_states(states: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """The positions of observations."""
    return (states + 1) / 2 * SIDE


def _compass() -> Float[Tensor, "9 2"]:
    """Unit vectors, counter-clockwise from +x, and no move at all."""
    angles = torch.arange(_NUM_DIRECTIONS) * (2 * math.pi / _NUM_DIRECTIONS)
    return torch.cat([torch.stack((angles.cos(), angles.sin()), dim=-1), torch.zeros(1, 2)])

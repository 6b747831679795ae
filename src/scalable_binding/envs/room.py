"""A square room with five objects, seen through the eyes of who walks in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float, Int64
from torch import Tensor

from scalable_binding.envs import sprites
from scalable_binding.envs.batch import Actions, GroundTruth, Observations, Step
from scalable_binding.envs.description import Description
from scalable_binding.envs.layouts import (
    FIXED_KINDS,
    FIXED_PLACES,
    NUM_OBJECTS,
    SIDE,
    START,
    sample_layouts,
)
from scalable_binding.envs.raycast import Camera, Eyes
from scalable_binding.envs.sprites import Kinds
from scalable_binding.envs.tasks import (
    Split,
    TaskBatch,
    find,
    goal_in_square,
    goals_of,
    sample_points,
)
from scalable_binding.errors import require

NUM_ACTIONS = 3
TURN_LEFT, TURN_RIGHT, FORWARD = range(NUM_ACTIONS)
_CONTACT = 40.0
_MARGIN = 16.0
_GOAL_MARGIN = 60.0
"""Of the validation's goals from the walls."""


@dataclass(frozen=True, kw_only=True)
class RoomConfig:
    """The room; lengths are in units of a square of side 500.

    Attributes:
        layout: "fixed", always the same objects at the same places, or "random", drawn anew by
            ``resample_world``.
        kinds: which half of the objects a random room draws from.
        size: side of a frame, in pixels.
        episode_length: steps in an episode.
        speed: how far a step forward goes.
        turn: how far a step to the side turns, in degrees.

    Raises:
        UserError: a number makes no sense.
    """

    layout: Literal["fixed", "random"] = "fixed"
    kinds: Kinds = "train"
    size: int = 42
    episode_length: int = 50
    speed: float = 25.0
    turn: float = 22.5

    def __post_init__(self) -> None:
        for name, choices in (("layout", ("fixed", "random")), ("kinds", get_args(Kinds))):
            value = getattr(self, name)
            require(f"room, {name}", value, value in choices, " or ".join(choices))
        even = 16 <= self.size <= 128 and self.size % 2 == 0
        require("room, size", self.size, even, "an even number from 16 to 128")
        require("room, episode_length", self.episode_length, self.episode_length >= 1, "at least 1")
        require("room, speed", self.speed, 0 < self.speed <= SIDE, f"above 0, at most {SIDE:g}")
        require("room, turn", self.turn, 0 < self.turn <= 180, "above 0, at most 180 degrees")


class Room:
    """A batch of square rooms, each with five objects and someone who sees and walks.

    An observation is a frame (uint8, `(3 size size)`). Actions turn left, turn right, go forward.
    Walls and objects are solid: who meets one slides along it. Every episode begins at the top of
    the room, looking into it. ``ground_truth`` tells "position" `(e 2)`, "heading" `(e)` in
    radians, "objects" `(e 5 2)` and their "kinds" `(e 5)`.

    Raises:
        UserError: the number of environments or the seed makes no sense.

    Source: Thesis 4.5.2 and 4.7.2, with a ray-caster in the place of ViZDoom.
    """

    def __init__(self, config: RoomConfig | None = None, num_envs: int = 1, seed: int = 0) -> None:
        require("room, num_envs", num_envs, num_envs >= 1, "at least 1")
        require("room, seed", seed, seed >= 0, "at least 0")
        self.config = config or RoomConfig()
        self.num_envs = num_envs
        self.episode_length = self.config.episode_length
        size = self.config.size
        self.observation_space: spaces.Box = spaces.Box(0, 255, (3, size, size), np.uint8)
        self.action_space: spaces.Discrete | spaces.Box = spaces.Discrete(NUM_ACTIONS)
        self._generator = torch.Generator().manual_seed(seed)
        fixed = self.config.layout == "fixed"
        self._kinds = torch.tensor(FIXED_KINDS) if fixed else sprites.kinds(self.config.kinds)
        self._camera = Camera(size, SIDE, tuple(self._kinds.tolist()))
        self._objects, self._pictures = self._furnish()
        self._time = 0
        self._position, self._heading = self._starts()

    def resample_world(self) -> None:
        """Draw other objects and places for every random room; ``reset`` must follow."""
        self._objects, self._pictures = self._furnish()

    def reset(self) -> Observations:
        """The view from the top of the rooms."""
        self._time = 0
        self._position, self._heading = self._starts()
        return self._observe()

    def step(self, actions: Actions) -> Step:
        """The views after a step; rewards are 0, the room knows no task."""
        if self._time < self.episode_length:
            self._time += 1
            self._move(actions)
        done = torch.full((self.num_envs,), self._time == self.episode_length)
        return Step(self._observe(), torch.zeros(self.num_envs), done)

    def ground_truth(self) -> GroundTruth:
        """Where everybody and everything is: "position", "heading", "objects", "kinds"."""
        return {
            "position": self._position.clone(),
            "heading": self._heading.clone(),
            "objects": self._objects.clone(),
            "kinds": self._kinds[self._pictures],
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Poses, objects, the step of the episode, and the generator."""
        return {
            "position": self._position.clone(),
            "heading": self._heading.clone(),
            "objects": self._objects.clone(),
            "pictures": self._pictures.clone(),
            "time": torch.tensor(self._time),
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from where ``state_dict`` was taken."""
        self._position, self._heading = state["position"].clone(), state["heading"].clone()
        self._objects, self._pictures = state["objects"].clone(), state["pictures"].clone()
        self._time = int(state["time"])
        self._generator.set_state(state["generator"])

    def close(self) -> None:
        """Nothing has to be let go of."""

    def _starts(self) -> tuple[Float[Tensor, "e 2"], Float[Tensor, " e"]]:
        x, y, heading = START
        return torch.tensor((x, y)).repeat(self.num_envs, 1), torch.full((self.num_envs,), heading)

    def _furnish(self) -> tuple[Float[Tensor, "e j 2"], Int64[Tensor, "e j"]]:
        """Places of the objects, and which of the pictures they have."""
        if self.config.layout == "fixed":
            places = torch.tensor(FIXED_PLACES).repeat(self.num_envs, 1, 1)
            return places, torch.arange(len(FIXED_KINDS)).repeat(self.num_envs, 1)
        return sample_layouts(self.num_envs, len(self._kinds), self._generator)

    def _observe(self) -> Observations:
        eyes = Eyes(self._position, self._heading, self._objects, self._pictures)
        return self._camera.shoot(eyes)

    def _move(self, actions: Actions) -> None:
        side = (actions == TURN_LEFT).float() - (actions == TURN_RIGHT).float()
        turned = self._heading + math.radians(self.config.turn) * side
        self._heading = torch.remainder(turned + math.pi, 2 * math.pi) - math.pi
        ahead = torch.stack((self._heading.cos(), self._heading.sin()), dim=-1)
        step = self.config.speed * (actions == FORWARD).float()[:, None] * ahead
        self._position = slide(self._position + step, self._objects)


def slide(position: Float[Tensor, "e 2"], objects: Float[Tensor, "e j 2"]) -> Float[Tensor, "e 2"]:
    """Positions outside of objects and walls: what is inside is pushed straight out.

    Objects are so far apart and from walls that no second push is ever needed.
    """
    offset = position[:, None] - objects
    distance = torch.linalg.vector_norm(offset, dim=-1, keepdim=True)
    push = offset * ((_CONTACT / distance.clamp(min=1e-6)) - 1).clamp(min=0)
    return (position + push.sum(1)).clamp(_MARGIN, SIDE - _MARGIN)


def describe(**options: Any) -> Description:
    """The room's plane and test tasks: one of the five objects.

    For validation, which must not meet the test's tasks, points of the plane.
    """
    fixed = options.get("layout", "fixed") == "fixed"
    return Description(
        low=(0.0, 0.0),
        high=(SIDE, SIDE),
        map_low=(0.0, 0.0),
        map_high=(SIDE, SIDE),
        goal_task=goal_in_square,
        sample_tasks=_sample_tasks,
        places=FIXED_PLACES if fixed else (),
    )


def _sample_tasks(num: int, generator: torch.Generator, split: Split) -> TaskBatch:
    if split == "validation":
        limits, start = (_GOAL_MARGIN, SIDE - _GOAL_MARGIN), torch.tensor(START[:2])
        return goals_of(sample_points(num, generator, split, limits, start))
    targets = torch.randint(NUM_OBJECTS, (num,), generator=generator)
    return TaskBatch(tuple(find(int(target)) for target in targets))

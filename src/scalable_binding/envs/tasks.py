"""Test tasks: what is asked of an agent that has learned without any.

A task rewards being near something: a point of the plane, or one of the objects in the room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from scalable_binding.envs.batch import GroundTruth
from scalable_binding.envs.layouts import SIDE
from scalable_binding.errors import UserError, require

Split = Literal["train", "validation", "test"]
Shape = Literal["inverse", "negative"]

MIN_DISTANCE = 100.0
OBJECT_RADIUS = 80.0
"""At which an object is reached: twice as far away as it stops whoever walks into it.

So an agent stands in front of it, less than a step of the preset ``room`` away.
"""

_CELLS = 10


@dataclass(frozen=True, kw_only=True)
class Task:
    """Bring something near to a goal.

    The reward is, with the distance d between both,

        r / max(d, r)   ("inverse", 1 once the goal is reached)
        -d / unit       ("negative").

    Args:
        goal: x, y of the goal, or None if it is an object.
        target: which of the "objects" in the truth is the goal, or None if it is a point.
        of: the entry of the truth that must come near, `(e 2)`.
        shape: of the reward.
        radius: r, at which the goal counts as reached; in the environment's units.
        unit: length that the negative distance is measured in.

    Raises:
        UserError: neither or both of goal and target are given; a length is not above 0.

    Source: Thesis 4.7.2 (inverse distance in ViZDoom, negative distance for Sawyer); it gives no
    threshold for success and leaves the inverse unbounded.
    """

    goal: tuple[float, float] | None = None
    target: int | None = None
    of: str = "position"
    shape: Shape = "inverse"
    radius: float = 50.0
    unit: float = SIDE / 2

    def __post_init__(self) -> None:
        if (self.goal is None) == (self.target is None):
            raise UserError("a task", expected="a goal or a target", got=str(self))
        if self.target is not None and self.target < 0:
            raise UserError("a task's target", expected="at least 0", got=str(self.target))
        if self.shape not in get_args(Shape):
            raise UserError("a task's shape", expected="inverse or negative", got=str(self.shape))
        if min(self.radius, self.unit) <= 0:
            got = f"{self.radius} and {self.unit}"
            raise UserError("a task's radius and unit", expected="above 0", got=got)

    @property
    def name(self) -> str:
        """What a table or a picture calls the task."""
        if self.goal is None:
            return f"object {self.target}"
        return "goal ({:.4g}, {:.4g})".format(*self.goal)

    def reward(self, truth: GroundTruth) -> Float32[Tensor, "e *s"]:
        """The reward of every environment in a state; ``s`` are further steps, if any."""
        return TaskBatch((self,)).reward(truth)

    def success(self, truth: GroundTruth) -> Bool[Tensor, "e *s"]:
        """Whether the goal is reached in a state."""
        return TaskBatch((self,)).success(truth)


@dataclass(frozen=True)
class TaskBatch:
    """A task for each environment; all with the same shape, radius and unit.

    A batch of one serves any number of environments.

    Raises:
        UserError: no task, or tasks that cannot be rewarded together.
    """

    tasks: tuple[Task, ...]

    def __post_init__(self) -> None:
        if not self.tasks:
            raise UserError("a batch of tasks", expected="at least 1 task", got="none")
        if len({(t.of, t.shape, t.radius, t.unit) for t in self.tasks}) > 1:
            raise UserError(
                "a batch of tasks", expected="one shape, radius and unit", got="several"
            )

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, number: int) -> Task:
        return self.tasks[number]

    def select(self, numbers: Sequence[int]) -> TaskBatch:
        """The tasks of these numbers, in this order."""
        return TaskBatch(tuple(self.tasks[number] for number in numbers))

    @cached_property
    def _points(self) -> Float32[Tensor, "n 2"]:
        return torch.tensor([task.goal or (torch.nan, torch.nan) for task in self.tasks])

    @cached_property
    def _targets(self) -> Int64[Tensor, " n"]:
        """Which object is the goal; -1 where it is a point."""
        return torch.tensor([-1 if task.target is None else task.target for task in self.tasks])

    def goals(self, truth: GroundTruth) -> Float[Tensor, "e *s 2"]:
        """Where the goals are now."""
        position = truth[self.tasks[0].of]
        shape = (len(position), *[1] * (position.ndim - 2))
        points = self._points.to(position).expand(len(position), 2).reshape(*shape, 2)
        if bool((self._targets < 0).all()):
            return points.expand(position.shape)
        targets = self._targets.expand(len(position)).reshape(*shape, 1, 1)
        objects = _objects(truth, int(self._targets.amax()))
        index = targets.clamp(min=0).expand(*position.shape[:-1], 1, 2)
        chosen = objects.gather(-2, index).squeeze(-2)
        return torch.where(targets[..., 0] < 0, points, chosen)

    def distance(self, truth: GroundTruth) -> Float32[Tensor, "e *s"]:
        """How far every environment is from its goal, in the environment's units.

        Raises:
            UserError: the truth lacks what the tasks speak of, or is of another number of
                environments.
        """
        of = self.tasks[0].of
        if of not in truth:
            got = ", ".join(truth) or "nothing"
            raise UserError("true state that a task needs", expected=of, got=got)
        if len(self) not in (1, len(truth[of])):
            got = f"{len(truth[of])} environments"
            raise UserError("a batch of tasks", expected=f"{len(self)} environments", got=got)
        return torch.linalg.vector_norm(truth[of] - self.goals(truth), dim=-1).float()

    def reward(self, truth: GroundTruth) -> Float32[Tensor, "e *s"]:
        """The reward of every environment in a state; ``s`` are further steps, if any."""
        first, distance = self.tasks[0], self.distance(truth)
        if first.shape == "inverse":
            return first.radius / distance.clamp(min=first.radius)
        return -distance / first.unit

    def success(self, truth: GroundTruth) -> Bool[Tensor, "e *s"]:
        """Whether each goal is reached in a state."""
        return self.distance(truth) <= self.tasks[0].radius


def _objects(truth: GroundTruth, target: int) -> Float[Tensor, "e *s j 2"]:
    objects = truth.get("objects")
    count = 0 if objects is None else objects.shape[-2]
    if objects is None or target >= count:
        raise UserError("a task's target", expected=f"one of {count} objects", got=str(target))
    return objects


def sample_points(
    num: int,
    generator: torch.Generator,
    split: Split,
    limits: tuple[float, float],
    start: Float[Tensor, 2],
    min_distance: float = MIN_DISTANCE,
) -> Float[Tensor, "n 2"]:
    """Uniform points of a square that are in the split's cells and not too near to the start."""
    low, high = limits
    found = torch.empty(0, 2)
    while len(found) < num:
        shares = torch.rand(4 * num + 16, 2, generator=generator)
        points = low + (high - low) * shares
        far = torch.linalg.vector_norm(points - start, dim=-1) >= min_distance
        found = torch.cat([found, points[far & _in_split(shares, split)]])
    return found[:num]


def _in_split(shares: Float[Tensor, "n 2"], split: Split) -> Bool[Tensor, " n"]:
    """Whether a point of the unit square is the split's.

    Test and validation have a fifth of the cells each, a knight's move apart.
    """
    column, row = (shares * _CELLS).long().clamp(max=_CELLS - 1).unbind(-1)
    kind: Int64[Tensor, " n"] = (column + 2 * row) % 5
    if split == "train":
        return kind >= 2
    return kind == (0 if split == "validation" else 1)


def find(target: int) -> Task:
    """The task of coming near to one of a room's objects."""
    return Task(target=target, radius=OBJECT_RADIUS)


def goals_of(points: Float[Tensor, "n 2"]) -> TaskBatch:
    """The tasks of coming near to points."""
    return TaskBatch(tuple(Task(goal=(float(x), float(y))) for x, y in points))


def goal_anywhere(x: float, y: float) -> Task:
    """The task of coming near to a point of a plane without known limits.

    Raises:
        UserError: the numbers are not finite.
    """
    require("task goal=X,Y", repr(f"{x:g},{y:g}"), math.isfinite(x + y), "finite numbers")
    return Task(goal=(x, y))


def goal_in_square(x: float, y: float) -> Task:
    """The task of coming near to a point of the square room.

    Raises:
        UserError: the point lies outside.
    """
    inside = 0 <= x <= SIDE and 0 <= y <= SIDE
    require("task goal=X,Y", repr(f"{x:g},{y:g}"), inside, f"a place, 0 to {SIDE:g}")
    return Task(goal=(x, y))

"""What an environment says about itself: its plane, what stands in it, and its test tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Generator

from scalable_binding.envs.tasks import Split, Task, TaskBatch
from scalable_binding.envs.walls import Segment

Corner = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Description:
    """An environment with positions in a plane, described without making one.

    Attributes:
        low, high: corners of the plane that "position" lies in, in the environment's units.
        map_low, map_high: corners of what a map of it shows.
        goal_task: the task of bringing something to x, y.
        sample_tasks: draws test tasks: ``sample_tasks(num, generator, split)``.
        places: x, y of what always stands there.
        walls: x0, y0, x1, y1 of the walls inside, in the environment's units.
    """

    low: Corner
    high: Corner
    map_low: Corner
    map_high: Corner
    goal_task: Callable[[float, float], Task]
    sample_tasks: Callable[[int, Generator, Split], TaskBatch]
    places: tuple[Corner, ...] = ()
    walls: tuple[Segment, ...] = ()

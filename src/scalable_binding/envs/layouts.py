"""The square room of the navigation environments: its measures, and where five objects stand."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

SIDE = 500.0
START = (250.0, 470.0, -math.pi / 2)
"""x, y and heading at the beginning of every episode: at the top, looking into the room."""

NUM_OBJECTS = 5
FIXED_PLACES = ((90.0, 385.0), (405.0, 350.0), (235.0, 240.0), (95.0, 105.0), (385.0, 90.0))
FIXED_KINDS = (0, 51, 22, 73, 64)
"""The objects of the fixed room, all of the half to train with."""

MIN_APART, MIN_FROM_WALL, MIN_FROM_START = 110.0, 60.0, 100.0


def sample_layouts(
    num: int, num_kinds: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 5 2"], Int64[Tensor, "n 5"]]:
    """Places and kinds of five different objects in each of ``num`` rooms.

    Places are uniform among those where no two objects, no object and wall, and no object and
    start are too near to one another. Kinds are numbers below ``num_kinds``.

    Source: Thesis 4.7.2, which asks for a minimal distance between objects and does not give it.
    """
    places = torch.empty(0, NUM_OBJECTS, 2)
    while len(places) < num:
        shares = torch.rand(8 * num, NUM_OBJECTS, 2, generator=generator)
        drawn = MIN_FROM_WALL + (SIDE - 2 * MIN_FROM_WALL) * shares
        places = torch.cat([places, drawn[_is_fair(drawn)]])
    kinds = torch.rand(num, num_kinds, generator=generator).argsort(-1)[:, :NUM_OBJECTS]
    return places[:num], kinds


def _is_fair(places: Float[Tensor, "n 5 2"]) -> Bool[Tensor, " n"]:
    apart = torch.cdist(places, places) + SIDE * torch.eye(NUM_OBJECTS)
    from_start = torch.linalg.vector_norm(places - torch.tensor(START[:2]), dim=-1)
    return (apart.amin((1, 2)) >= MIN_APART) & (from_start.amin(1) >= MIN_FROM_START)

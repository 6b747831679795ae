"""The dense walk, one walker and one node at a time."""

import math

import torch
from torch import Tensor


def home_place(
    first: list[float], home: list[float], row: int, column: int, grid: int
) -> tuple[float, float] | None:
    """Where a node of the first view lies on the home view's grid; None outside of it."""
    place = []
    for axis, index in ((0, row), (1, column)):
        pixel = first[axis] + first[axis + 2] * (index + 0.5) / grid
        share = (pixel - home[axis]) / home[axis + 2]
        if not 0 < share < 1:
            return None
        place.append(share * grid - 0.5)
    return place[0], place[1]


def end_probabilities(
    frames: list[Tensor], home: Tensor, start: int, hops: int, temperature: float
) -> list[float]:
    """Over the nodes of ``home``: of a walker that goes out, back to frame 1 and home."""
    tour = [*frames[1 : hops + 1], *reversed(frames[1:hops]), home]
    here = [0.0] * len(frames[0])
    here[start] = 1.0
    nodes = frames[0]
    for following in tour:
        there = [0.0] * len(following)
        for i, mass in enumerate(here):
            if mass == 0:
                continue
            odds = [math.exp(float(nodes[i] @ node) / temperature) for node in following]
            for j, value in enumerate(odds):
                there[j] += mass * value / sum(odds)
        here, nodes = there, following
    return here


def soft_loss(ends: list[float], place: tuple[float, float], grid: int, first: int) -> float:
    """-sum of w log P over the four nodes around a place, from the clip's first node on."""
    row, column = (min(max(x, 0.0), grid - 1.0) for x in place)
    total = 0.0
    for i in range(grid):
        for j in range(grid):
            weight = max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j))
            if weight > 0:
                total -= weight * math.log(ends[first + i * grid + j])
    return total


def mean_loss(
    clips: list[list[Tensor]],
    windows: Tensor,
    starts: list[list[int]],
    grid: int,
    hops: int,
    temperature: float,
) -> float:
    """The loss of a batch as one graph; ``clips`` hold each frame's nodes, then the home view's."""
    num = grid * grid
    frames = [torch.cat([clip[t] for clip in clips]) for t in range(len(clips[0]) - 1)]
    home = torch.cat([clip[-1] for clip in clips])
    losses = []
    for number, chosen in enumerate(starts):
        for node in chosen:
            place = home_place(
                windows[number, 0].tolist(),
                windows[number, -1].tolist(),
                node // grid,
                node % grid,
                grid,
            )
            if place is not None:
                start = number * num + node
                ends = end_probabilities(frames, home, start, hops, temperature)
                losses.append(soft_loss(ends, place, grid, number * num))
    return sum(losses) / len(losses)

"""Plots of hide and seek: who goes where, behind what, and into which cup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.motion import Swing

Kind = Literal["occlusion", "containment", "carrying", "shell game"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Role = Literal["thing", "cup", "screen"]

NOBODY = -1
"""In place of the number of a cup, for what is in none."""

_CUP, _SMALLEST_CUP = 1.9, 0.13  # radius of a lowered cup, in radii of a thing, and at least
_SEEK = 40  # tries to find a place that is far from others

Spot = tuple[float, float]
Places = Float64[Tensor, "t 2"]
Path = Callable[[Float64[Tensor, "t"]], Places]


@dataclass(frozen=True)
class Track:
    """A path through places at given times: at rest before, after, and where two are the same.

    Between two places the pace rises and falls smoothly; with an ``arc`` the way is half a circle
    (1 to one side, -1 to the other), with 0 it is straight.
    """

    times: tuple[float, ...]
    places: tuple[Spot, ...]
    arcs: tuple[float, ...] = ()

    def __call__(self, times: Float64[Tensor, "t"]) -> Places:
        """Where it is at each time."""
        result = torch.tensor(self.places[0], dtype=torch.float64).expand(len(times), 2).clone()
        arcs = self.arcs or (0.0,) * (len(self.times) - 1)
        for leg, arc in enumerate(arcs):
            start, end = self.times[leg], self.times[leg + 1]
            done = ((times - start) / max(end - start, 1e-9)).clamp(0, 1)
            done = (done * done * (3 - 2 * done))[:, None]
            a, b = torch.tensor(self.places[leg : leg + 2], dtype=torch.float64)
            aside = torch.stack((a[1] - b[1], b[0] - a[0])) / 2
            angle = torch.pi * done
            bow = (a + b) / 2 - (b - a) / 2 * torch.cos(angle) + arc * aside * torch.sin(angle)
            way = bow if arc else a + (b - a) * done
            result = torch.where((times >= start)[:, None], way, result)
        return result


@dataclass(frozen=True)
class Player:
    """One object of a game, nearer to the eye than those before it.

    Attributes:
        role: what it is.
        path: where it goes, by itself.
        size: its radius; of a cup, when it is lowered.
        lowered: from when to when a cup is lowered.
        content: the number of the object that goes with the cup then.
    """

    role: Role
    path: Path
    size: float
    lowered: tuple[float, float] | None = None
    content: int = NOBODY


def play(kind: Kind, rng: np.random.Generator, config: WorldConfig, last: float) -> list[Player]:
    """The players of a game that lasts until the time ``last``, those farthest from the eye first.

    Sizes of things are drawn from the configuration; the paths keep within its view.
    """
    if kind == "occlusion":
        return _pass(rng, config, last)
    if kind == "shell game":
        return _swap(rng, config, last)
    return _cover(rng, config, last, carry=kind == "carrying")


def _pass(rng: np.random.Generator, config: WorldConfig, last: float) -> list[Player]:
    """Things that swing or rest, and screens that stand in their way or pass over them."""
    things = [_bystander(rng, config, last, restless=0.7) for _ in range(2)]
    met = [_meeting(rng, thing, last) for thing in things]
    size = float(rng.uniform(0.17, 0.22))
    spot = _shaken(rng, met[0], 0.05)
    screen = Track((0.0,), (spot,))
    if rng.random() < 0.5:
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.4)
        way = length * np.array([np.cos(angle), np.sin(angle)])
        room = np.asarray(config.half_extent) - 0.5 * size
        ends = np.clip([spot - way, spot + way], -room, room).tolist()
        screen = Track((0.0, last), (_spot(ends[0]), _spot(ends[1])))
    players = [*things, Player("screen", screen, size)]
    if rng.random() < 0.5:
        post = Track((0.0,), (_shaken(rng, met[1], 0.03),))
        players.append(Player("screen", post, float(rng.uniform(0.13, 0.17))))
    return players


def _cover(
    rng: np.random.Generator, config: WorldConfig, last: float, *, carry: bool
) -> list[Player]:
    """A cup is lowered over a thing, stays there or takes it elsewhere, and is lifted again."""
    size = _size(rng, config)
    spot = _place(rng, config, 0.3)
    goal = _place(rng, config, 0.3, away=[spot], distance=0.28) if carry else spot
    begin = _place(rng, config, 0.36, away=[spot], distance=0.32)
    end = _place(rng, config, 0.36, away=[goal], distance=0.32)
    haste = float(rng.uniform(-0.04, 0.04))
    moments = [(moment + haste) * last for moment in (0.3, 0.36, 0.68, 0.74)]
    lowered = (moments[0], moments[-1])
    cup = Track((0.0, *moments, last), (begin, spot, spot, goal, goal, end))
    origin = spot if rng.random() < 0.5 else _place(rng, config, 0.36, away=[spot], distance=0.1)
    thing = _then_rest(Track((0.0, 0.2 * last), (origin, spot)), goal, lowered[1])
    players = [Player("thing", thing, size), _bystander(rng, config, last, restless=0.5)]
    if rng.random() < 0.4:  # a cup with nothing in it
        elsewhere = _place(rng, config, 0.36, away=[spot, goal], distance=0.3)
        radius = _CUP * _size(rng, config)
        players.append(Player("cup", Track((0.0,), (elsewhere,)), radius, _always(last)))
    return [*players, Player("cup", cup, max(_CUP * size, _SMALLEST_CUP), lowered, 0)]


def _swap(rng: np.random.Generator, config: WorldConfig, last: float) -> list[Player]:
    """Three cups that look the same change places twice; a ball is in one of them."""
    turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(3) / 3
    slots = [_spot(0.22 * np.array([np.cos(angle), np.sin(angle)])) for angle in turn]
    stays, arcs = _exchanges(rng)
    ways = [tuple(slots[slot] for slot in cup) for cup in stays]
    begin, end = (_spot(2.05 * np.asarray(ways[0][place])) for place in (0, -1))
    over, down, midway, done, up = (moment * last for moment in (0.22, 0.28, 0.5, 0.72, 0.8))
    ball = _then_rest(Track((0.0,), (slots[0],)), ways[0][-1], up)
    players = [Player("thing", ball, float(rng.uniform(0.06, 0.07)))]
    for cup in (1, 2):
        track = Track((down, midway, done), ways[cup], arcs[cup])
        players.append(Player("cup", track, _SMALLEST_CUP, _always(last)))
    track = Track(
        (0.0, over, down, midway, done, up, last),
        (begin, slots[0], *ways[0], ways[0][-1], end),
        (0.0, 0.0, *arcs[0], 0.0, 0.0),
    )
    return [*players, Player("cup", track, _SMALLEST_CUP, (over, up), 0)]


def _exchanges(
    rng: np.random.Generator,
) -> tuple[list[tuple[int, ...]], list[tuple[float, ...]]]:
    """For each of three cups the slots that it is at before, between and after two exchanges.

    And the arcs that it takes there. Cup 0 is at slot 0 first and always has a part in the first.
    """
    at = [0, 1, 2]  # slots of the cups
    stays, arcs = [at], []
    for first in (0, 0 if rng.random() < 0.7 else int(rng.integers(3))):
        second = (first + int(rng.integers(1, 3))) % 3
        at = list(at)
        at[first], at[second] = at[second], at[first]
        side = float(rng.choice([-1.0, 1.0]))
        stays.append(at)
        arcs.append([side if cup in (first, second) else 0.0 for cup in range(3)])
    return list(zip(*stays, strict=True)), list(zip(*arcs, strict=True))


def _bystander(
    rng: np.random.Generator, config: WorldConfig, last: float, *, restless: float
) -> Player:
    """A thing that no cup is after: it swings at this rate, and otherwise rests."""
    size = _size(rng, config)
    if rng.random() < restless:
        return Player("thing", _swinging(rng, config, last), size)
    return Player("thing", Track((0.0,), (_place(rng, config, 0.36),)), size)


def _meeting(rng: np.random.Generator, thing: Player, last: float) -> Spot:
    """Where a thing is at some time in the middle of the game."""
    time = torch.tensor([rng.uniform(0.35, 0.65) * last], dtype=torch.float64)
    return _spot(thing.path(time)[0].tolist())


def _then_rest(path: Path, goal: Spot, moment: float) -> Path:
    """A path until a moment, and rest at a goal from then on."""

    def joined(times: Float64[Tensor, "t"]) -> Places:
        rest = torch.tensor(goal, dtype=torch.float64)
        return torch.where((times < moment)[:, None], path(times), rest)

    return joined


def _swinging(rng: np.random.Generator, config: WorldConfig, last: float) -> Path:
    """To and fro along an ellipse or a line, a half to one and a tenth times in a game."""
    reach = rng.uniform([0.22, 0.05], [0.34, 0.2])
    reach = reach if rng.random() < 0.5 else reach[::-1].copy()
    room = (np.asarray(config.half_extent) - reach - 0.1).clip(min=0.0)
    rate = 2 * np.pi * rng.uniform(0.5, 1.1, size=2) / last
    return Swing(
        offset=torch.from_numpy(rng.uniform(-1, 1, size=2) * room),
        amplitude=torch.from_numpy(reach)[None],
        rate=torch.from_numpy(rate)[None],
        phase=torch.from_numpy(rng.uniform(0, 2 * np.pi, size=(1, 2))),
    )


def _place(
    rng: np.random.Generator,
    config: WorldConfig,
    reach: float,
    *,
    away: Sequence[Spot] = (),
    distance: float = 0.0,
) -> Spot:
    """A place ``reach`` of a square view from its middle at most, far from others if it can be."""
    room = np.asarray(config.half_extent) - (0.5 - reach)
    best, farthest = np.zeros(2), -1.0
    for _ in range(_SEEK):
        spot = rng.uniform(-1, 1, size=2) * room
        gap = min((float(np.hypot(*(spot - np.asarray(other)))) for other in away), default=np.inf)
        if gap > farthest:
            best, farthest = spot, gap
        if gap >= distance:
            break
    return _spot(best)


def _shaken(rng: np.random.Generator, spot: Spot, most: float) -> Spot:
    return _spot(np.asarray(spot) + rng.uniform(-most, most, size=2))


def _spot(place: np.ndarray | Sequence[float]) -> Spot:
    return float(place[0]), float(place[1])


def _size(rng: np.random.Generator, config: WorldConfig) -> float:
    return float(rng.uniform(*config.object_size))


def _always(last: float) -> tuple[float, float]:
    """Lowered from before the game until after it."""
    return -2.0, last + 2.0

"""Games of hide and seek: things pass behind screens, and cups cover, hold and carry them.

The view is from above. A cup that is *lifted* is near the eye, looks larger, and passes over
things without touching them; once it is *lowered* over a thing, the thing goes where the cup goes
until the cup is lifted again. A screen only ever hides what is behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from scalable_binding.data.synthetic import bodies, lights, plays, shapes, textures
from scalable_binding.data.synthetic.bodies import Body, Part
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.geometry import STILL
from scalable_binding.data.synthetic.motion import Choreography, Poses, View
from scalable_binding.data.synthetic.plays import KINDS, NOBODY, Kind, Player, Role
from scalable_binding.data.synthetic.world import World
from scalable_binding.errors import UserError

LIFT = 1.3
"""How much larger a lifted cup looks."""

Inside = Callable[[Float64[Tensor, "t"]], Int64[Tensor, "t o"]]


@dataclass(frozen=True)
class Game:
    """What everyone does.

    Attributes:
        roles: of the objects, in the order of the choreography.
        choreography: where everyone is at any time.
        inside: for every object the cup that it is in, ``NOBODY`` where it is in none.
    """

    roles: tuple[Role, ...]
    choreography: Choreography
    inside: Inside


def hiding(*, size: int = 64, num_frames: int = 24, held_out: bool = False) -> WorldConfig:
    """Small square clips, seen by a camera at rest, of generated textures alone.

    Games adapt their pace to the clip: with fewer frames everyone is faster.
    """
    return WorldConfig(
        height=size,
        width=size,
        num_frames=num_frames,
        object_size=(0.06, 0.085),
        light=0.1,
        photograph_rate=0.0,
        split="held_out" if held_out else "train",
    )


def build(config: WorldConfig, seed: int, kind: Kind) -> tuple[World, Game]:
    """The world of a game: a pure function of its arguments.

    Of the configuration, what concerns scenery, limbs, paths and the camera is not used.

    Raises:
        UserError: a negative seed.
    """
    if seed < 0:
        raise UserError("seed of a game", expected="at least 0", got=str(seed))
    rng = np.random.default_rng([seed, 0x41DE, KINDS.index(kind)])
    last = max(1.0, (config.num_frames - 1) * config.time_step)
    game = _direct(plays.play(kind, rng, config, last))
    start = game.choreography(torch.zeros(1, dtype=torch.float64))
    scales = (start.scale[0, :, 0] * config.shorter).tolist()
    static = replace(config, num_scenery=(0, 0))
    nothing = torch.zeros(1, 0, dtype=torch.float64)
    world = World(
        config=static,
        bodies=(
            bodies.draw_background(rng, replace(config, deformation=0.0), float(config.shorter)),
            *_dress(rng, config, game.roles, scales),
        ),
        parallax=(1.0,) * (1 + len(game.roles)),
        scenery=Poses(
            center=nothing[..., None].expand(1, 0, 2),
            angle=nothing,
            scale=nothing[..., None].expand(1, 0, 2),
            depth=nothing,
        ),
        num_objects=len(game.roles),
        choreography=game.choreography,
        camera=_watch,
        light=lights.draw(rng, config),
        shutter=0.0,
    )
    return world, game


def _watch(times: Float64[Tensor, "t"]) -> View:
    """A camera at rest."""
    still = torch.zeros(len(times), dtype=torch.float64)
    return View(center=torch.stack((still, still), dim=-1), angle=still, zoom=still + 1)


def _direct(players: list[Player]) -> Game:
    """The game of some players, each nearer to the eye than those before it."""

    def poses(times: Float64[Tensor, "t"]) -> Poses:
        center = torch.stack([player.path(times) for player in players], dim=1)
        inside = contents(times)
        for number in range(len(players)):
            cup = inside[:, number].clamp(min=0)
            carried = center[torch.arange(len(times)), cup]
            is_in = (inside[:, number] != NOBODY)[:, None]
            # Cups are lowered over the middle of things, and lifted where they took them.
            taken = torch.where(is_in, carried, center[:, number])
            center = torch.cat((center[:, :number], taken[:, None], center[:, number + 1 :]), dim=1)
        scale = torch.stack([_scale(player, times) for player in players], dim=1)
        return Poses(
            center=center,
            angle=torch.zeros(len(times), len(players), dtype=torch.float64),
            scale=scale[..., None].expand(-1, -1, 2),
            depth=torch.arange(1.0, len(players) + 1).double().expand(len(times), -1),
        )

    def contents(times: Float64[Tensor, "t"]) -> Int64[Tensor, "t o"]:
        inside = torch.full((len(times), len(players)), NOBODY)
        for number, player in enumerate(players):
            if player.lowered is not None and player.content != NOBODY:
                start, end = player.lowered
                inside[(times >= start) & (times <= end), player.content] = number
        return inside

    return Game(tuple(player.role for player in players), poses, contents)


def _scale(player: Player, times: Float64[Tensor, "t"]) -> Float64[Tensor, "t"]:
    """The radius: of a cup that is not lowered, that of a lifted one; up and down in two frames."""
    if player.role != "cup" or player.lowered is None:
        return torch.full_like(times, player.size)
    start, end = player.lowered
    height = torch.maximum((start - times) / 2, (times - end) / 2).clamp(0, 1)
    return player.size * (1 + (LIFT - 1) * height)


def _dress(
    rng: np.random.Generator, config: WorldConfig, roles: tuple[Role, ...], scales: list[float]
) -> list[Body]:
    """A body for every role; all cups of a game look the same."""
    cup: Body | None = None
    dressed = []
    for role, scale in zip(roles, scales, strict=True):
        if role == "cup":
            cup = cup or _draw_cup(rng, config, scale)
            dressed.append(cup)
        else:
            dressed.append(_draw_piece(rng, config, scale))
    return dressed


def _draw_piece(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A single piece, about as wide as high."""
    shape = shapes.draw(rng, radii=(1.0, 1.0), roughness=0.03, resolution=32)
    return Body(parts=(Part(shape=shape, texture=_surface(rng, config, 1.0, scale)),), waves=STILL)


def _draw_cup(rng: np.random.Generator, config: WorldConfig, scale: float) -> Body:
    """A piece with a smaller one of the same outline on it."""
    outline = rng.integers(2**63)
    parts = []
    for layer, radius in enumerate((1.0, 0.55)):
        again = np.random.default_rng(outline)
        shape = shapes.draw(again, radii=(radius, radius), roughness=0.0, resolution=32)
        texture = _surface(rng, config, radius, scale)
        parts.append(Part(shape=shape, texture=texture, parent=layer - 1, layer=layer))
    return Body(parts=tuple(parts), waves=STILL)


def _surface(
    rng: np.random.Generator, config: WorldConfig, radius: float, scale: float
) -> textures.Texture:
    angle = float(rng.uniform(0, 2 * np.pi))
    return textures.draw(
        rng, config, extent=(radius, radius), scale=scale, magnified=1.5, angle=angle
    )

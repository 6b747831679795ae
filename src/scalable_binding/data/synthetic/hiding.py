"""Clips of hide and seek with the truth about every object, seen or hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from scalable_binding.data.datasets.order import Shuffle
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.games import Game, build
from scalable_binding.data.synthetic.painting import draw_frames, silhouette, surfaces
from scalable_binding.data.synthetic.plays import KINDS, NOBODY, Kind, Role
from scalable_binding.data.synthetic.world import Placement, World, place
from scalable_binding.errors import UserError

VISIBLE, OCCLUDED, CONTAINED, CARRIED = range(4)
"""States of an object in a frame: to be seen; hidden behind others; in a cup at rest, or moving."""

STATES = ("visible", "occluded", "contained", "carried")

SEEN_SHARE = 0.3
"""An object of which less is to be seen counts as hidden."""

MOST_OBJECTS = 4
"""In any game."""

_STILL = 1e-3  # units a frame below which a cup counts as resting


@dataclass(frozen=True)
class Hiding:
    """A clip of a game with everything that is known about it: o objects.

    Attributes:
        frames: RGB.
        boxes: x0, y0, x1, y1 in pixels of whole objects, hidden or not; the center of the top left
            pixel is (0, 0).
        shares: of an object's pixels that nothing hides.
        states: VISIBLE, OCCLUDED, CONTAINED or CARRIED.
        roles: of the objects.
    """

    frames: UInt8[Tensor, "t 3 h w"]
    boxes: Float32[Tensor, "t o 4"]
    shares: Float32[Tensor, "t o"]
    states: Int64[Tensor, "t o"]
    roles: tuple[Role, ...]

    @property
    def visible(self) -> Bool[Tensor, "t o"]:
        """Whether enough of an object is to be seen."""
        return self.states == VISIBLE


@torch.no_grad()
def hide(config: WorldConfig, seed: int, kind: Kind) -> Hiding:
    """The clip of a seed: a pure function of its arguments.

    Raises:
        UserError: as ``games.build``.
    """
    world, game = build(config, seed, kind)
    placements = place(world, world.times)
    objects = placements[world.first_object :]
    shares = _shares(world, placements)
    boxes = torch.stack([_boxes(placement) for placement in objects], dim=1)
    return Hiding(
        frames=draw_frames(world, seed),
        boxes=boxes,
        shares=shares,
        states=_states(world, game, shares),
        roles=game.roles,
    )


def conceal(
    boxes: Float32[Tensor, "*s o 4"], visible: Bool[Tensor, "*s o"]
) -> Float32[Tensor, "*s o 4"]:
    """The boxes with NaN in place of every number of one that is hidden."""
    return boxes.masked_fill(~visible[..., None], torch.nan)


class HidingClips(Dataset[dict[str, Tensor]]):
    """Endless passes over a finite number of games, each time turned and colored another way.

    An item holds ``frames`` uint8 (t 3 h w), ``boxes`` float32 (t o 4) with NaN wherever an object
    is hidden or there is none, ``visible`` bool (t o), ``exists`` bool (o) and ``index``. It is a
    function of the arguments and the index; where an object is hidden does not enter it. A game is
    painted when it is first asked for and remembered by the process.

    Args:
        config: the world; frames must be square to be turned.
        num_games: different games, the kinds taking turns; each takes its pixels' bytes of memory.
        seed: of the games, their order and how they are turned.
        kinds: which games are played.
        vary: turn, mirror and run backwards each game at random, and exchange its colors.
        painted: games that are known already, by number, in place of those of the seed.
    """

    def __init__(
        self,
        config: WorldConfig,
        *,
        num_games: int = 512,
        seed: int = 0,
        kinds: Sequence[Kind] = KINDS,
        vary: bool = True,
        painted: Mapping[int, Hiding] | None = None,
    ) -> None:
        if vary and config.height != config.width:
            got = f"{config.height} x {config.width}"
            raise UserError("clips that are turned", expected="square frames", got=got)
        self.config, self.seed, self.kinds, self.vary = config, seed, tuple(kinds), vary
        self._order = Shuffle(num_games, seed)
        self._painted: dict[int, Hiding] = dict(painted or {})

    def game(self, number: int) -> Hiding:
        """Game ``number`` with all its truth, as it was played."""
        if number not in self._painted:
            kind = self.kinds[number % len(self.kinds)]
            self._painted[number] = hide(self.config, scene_seed(self.seed, number), kind)
        return self._painted[number]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        game = self.game(self._order[index])
        frames, visible = game.frames, game.visible
        boxes = conceal(game.boxes, visible)
        if self.vary:
            rng = np.random.default_rng((self.seed, 0xA1, index))
            frames, boxes, visible = _vary(rng, frames, boxes, visible)
        missing = MOST_OBJECTS - len(game.roles)
        return {
            "frames": frames.contiguous(),
            "boxes": pad(boxes, (0, 0, 0, missing), value=torch.nan),
            "visible": pad(visible, (0, missing)),
            "exists": pad(torch.ones(len(game.roles), dtype=torch.bool), (0, missing)),
            "index": torch.tensor(index),
        }


def _vary(
    rng: np.random.Generator,
    frames: UInt8[Tensor, "t 3 s s"],
    boxes: Float32[Tensor, "t o 4"],
    visible: Bool[Tensor, "t o"],
) -> tuple[UInt8[Tensor, "t 3 s s"], Float32[Tensor, "t o 4"], Bool[Tensor, "t o"]]:
    """One of the eight symmetries of the square, of two directions of time and six of color."""
    far = frames.shape[-1] - 1
    frames = frames[:, torch.from_numpy(rng.permutation(3))]
    transpose, mirror_x, mirror_y, reverse = (rng.random(4) < 0.5).tolist()
    if transpose:
        frames, boxes = frames.mT, boxes[..., [1, 0, 3, 2]]
    if mirror_x:
        boxes = torch.stack(
            (far - boxes[..., 2], boxes[..., 1], far - boxes[..., 0], boxes[..., 3]), dim=-1
        )
        frames = frames.flip(-1)
    if mirror_y:
        boxes = torch.stack(
            (boxes[..., 0], far - boxes[..., 3], boxes[..., 2], far - boxes[..., 1]), dim=-1
        )
        frames = frames.flip(-2)
    if reverse:
        frames, boxes, visible = frames.flip(0), boxes.flip(0), visible.flip(0)
    return frames, boxes, visible


def _boxes(placement: Placement) -> Float32[Tensor, "t 4"]:
    """The boxes around all parts of an object."""
    return torch.cat(
        (placement.boxes[..., :2].amin(dim=1), placement.boxes[..., 2:].amax(dim=1)), dim=-1
    ).float()


def _shares(world: World, placements: list[Placement]) -> Float32[Tensor, "t o"]:
    """Pixels that show an object over those that it would cover if it were alone."""
    owner = torch.tensor([body for body, p in enumerate(placements) for _ in p.body.parts])
    shares = torch.zeros(len(placements[0].depth), world.num_objects)
    for t in range(len(shares)):
        shown = owner[surfaces(world, placements, t).long()]
        for number in range(world.num_objects):
            body = world.first_object + number
            covered = silhouette(world, placements[body], t).sum()
            shares[t, number] = (shown == body).sum() / covered.clamp(min=1)
    return shares


def _states(world: World, game: Game, shares: Float32[Tensor, "t o"]) -> Int64[Tensor, "t o"]:
    """In which of the four states everyone is in every frame."""
    times = world.times
    inside = game.inside(times)
    step = game.choreography(times + 0.5).center - game.choreography(times - 0.5).center
    moving = torch.linalg.vector_norm(step, dim=-1) > _STILL
    cup_moves = moving.gather(1, inside.clamp(min=0))
    hidden = torch.where(cup_moves, CARRIED, CONTAINED)
    hidden = torch.where(inside == NOBODY, OCCLUDED, hidden)
    return torch.where(shares >= SEEN_SHARE, VISIBLE, hidden)

"""Points followed through a video by chained walks, also past what hides them for a while."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scalable_binding import atomic
from scalable_binding.data.labels.keypoints import Keypoint, check_inside, is_inside
from scalable_binding.errors import UserError
from scalable_binding.flow.inference import Frames, between, neighbors
from scalable_binding.flow.model import FINEST, FlowNet, Maps
from scalable_binding.walk.multiscale import window_step

SAME = 0.6
"""Similarity to how a point was last seen from which on it counts as seen.

Flow is not so exact that every walker from a point in sight comes home: by the way back alone a
third of what is seen passed for hidden (``benchmarks/flow/README.md``).
"""

_SLOWS = 0.9
"""Of its speed a hidden point keeps so much with every frame."""


@dataclass(frozen=True)
class Track:
    """Point ``id`` in frame ``frame`` at pixel (``x``, ``y``).

    A point that is not ``visible`` is where it is expected. ``confidence``, in [0, 1], is that of
    the least sure step since the point was given or seen again: the share of walkers that come
    home. It is 0 where the point is not visible.
    """

    frame: int
    id: int
    x: float
    y: float
    visible: bool
    confidence: float


@dataclass(frozen=True)
class _State:
    """A track, how fast it goes, and how it looked when it was last seen."""

    track: Track
    speed: tuple[float, float]
    look: Float[Tensor, " d"]


def follow(frames: Frames, points: Sequence[Keypoint], model: FlowNet) -> Iterator[list[Track]]:
    """The tracks of each frame from the first, in the order of ``points``; few frames in memory.

    A point goes along the flow. Where the way back does not lead home and what is there does not
    look like it either, it is hidden: it goes on at its last speed, ever slower, and looks around
    for what it last looked like.

    Args:
        frames: any iterable of uint8 RGB frames of one size.
        points: where each point is when it begins, in any frame.
        model: whatever ``flow.model.load`` gives.

    Raises:
        UserError: no points, a point that is not to be seen, outside the frames or after their end,
            or twice of one id; and what ``inference.estimate_video`` raises.
    """
    if not points:
        raise UserError("points to track", expected="at least one", got="none")
    ids = [point.id for point in points]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise UserError(f"point {twice} is given twice", fix="give each point in one frame only")
    unseen = next((point for point in points if point.confidence == 0), None)
    if unseen is not None:
        expected = "one that is to be seen where it begins"
        raise UserError(f"point {unseen.id}", expected=expected, got="confidence 0")
    states: dict[int, _State] = {}
    number = 0
    for before, after in neighbors(frames, model):
        if number == 0:
            check_inside(points, *before.size)
            states = _begun(points, 0, before.features)
            yield _listed(states, points)
        number += 1
        if states:
            found = between(before, after, model)
            hidden, sure = found.hidden[None].float(), found.confidence[None]
            maps = torch.cat([found.flow, hidden, sure])
            states = {
                key: _next(state, number, maps, after.features, model)
                for key, state in states.items()
            }
        states |= _begun(points, number, after.features)
        yield _listed(states, points)
    check_frames(points, number + 1)


def check_frames(points: Sequence[Keypoint], count: int) -> None:
    """Nothing, when all points begin in one of so many frames.

    Raises:
        UserError: one of them comes later.
    """
    late = [point for point in points if point.frame >= count]
    if late:
        expected = f"a frame from 0 to {count - 1}"
        raise UserError(f"point {late[0].id}", expected=expected, got=str(late[0].frame))


def write(path: Path, tracks: Iterable[Track]) -> None:
    """Writes tracks as CSV with a line of names, whole or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO()
    names = [field.name for field in fields(Track)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for track in tracks:
        row = asdict(track) | {"visible": int(track.visible)}
        writer.writerow(row | {name: f"{row[name]:.3f}" for name in ("x", "y", "confidence")})
    with atomic.replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _begun(points: Sequence[Keypoint], number: int, features: Sequence[Maps]) -> dict[int, _State]:
    return {
        point.id: _State(
            Track(number, point.id, point.x, point.y, True, 1.0),
            (0.0, 0.0),
            _look_at(features[-1], point.x, point.y),
        )
        for point in points
        if point.frame == number
    }


def _listed(states: dict[int, _State], points: Sequence[Keypoint]) -> list[Track]:
    return [states[point.id].track for point in points if point.id in states]


def _next(
    state: _State,
    number: int,
    maps: Float[Tensor, "4 h w"],
    after: Sequence[Maps],
    model: FlowNet,
) -> _State:
    """The point in the next frame; ``maps`` are the flow to it, what is hidden, and how sure."""
    track = state.track
    height, width = maps.shape[1:]
    if track.visible:
        right, down, hidden, sure = _value(maps, track.x, track.y).tolist()
        x, y = track.x + right, track.y + down
        inside = is_inside(x, y, height, width)
        look = _look_at(after[-1], x, y)
        if inside and (hidden < 0.5 or float(look @ state.look) >= SAME):
            seen = Track(number, track.id, x, y, True, min(track.confidence, sure))
            return _State(seen, (right, down), look)
    speed = (state.speed[0] * _SLOWS, state.speed[1] * _SLOWS)
    x = min(max(track.x + speed[0], 0.0), width - 1.0)
    y = min(max(track.y + speed[1], 0.0), height - 1.0)
    away = Track(number, track.id, x, y, False, 0.0)
    if not track.visible:
        place, likeness = _search(state.look, after[-1], x, y, model)
        # Beyond the frame there is padding, which looks like its border.
        if likeness >= SAME and is_inside(*place, height, width):
            again = replace(away, x=place[0], y=place[1], visible=True, confidence=likeness)
            return _State(again, speed, state.look)
    return _State(away, speed, state.look)


@torch.no_grad()
def _search(
    look: Float[Tensor, " d"], features: Maps, x: float, y: float, model: FlowNet
) -> tuple[tuple[float, float], float]:
    """The place in pixels around (x, y) that looks most like a point, and how much it does."""
    height, width = features.shape[-2:]
    nodes = rearrange(features, "1 d h w -> 1 (h w) d")
    center = torch.tensor([[[round(_to_node(x)), round(_to_node(y))]]], device=features.device)
    step, similarities = window_step(
        look.view(1, 1, -1), nodes, center, (height, width), model.radius, model.temperature
    )
    place = step.expected_place()[0, 0] * FINEST + (FINEST - 1) / 2
    return (float(place[0]), float(place[1])), float(similarities.max())


def _look_at(features: Maps, x: float, y: float) -> Float[Tensor, " d"]:
    """The feature between nodes at a place in pixels."""
    found = _value(features[0].detach(), _to_node(x), _to_node(y))
    return functional.normalize(found, dim=0)


def _to_node(place: float) -> float:
    return (place - (FINEST - 1) / 2) / FINEST


def _value(maps: Float[Tensor, "c h w"], x: float, y: float) -> Float[Tensor, " c"]:
    """The values of maps at one place between pixels; at the border those of the border."""
    sides = torch.tensor([maps.shape[-1], maps.shape[-2]], device=maps.device)
    place = (2 * torch.tensor([x, y], device=maps.device) + 1) / sides - 1
    found = functional.grid_sample(
        maps[None], place.view(1, 1, 1, 2), padding_mode="border", align_corners=False
    )
    return found.flatten()

"""Points followed through a video by chained walks, also past what hides them for a while."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from scalable_binding import atomic
from scalable_binding.data.labels.keypoints import Keypoint, check_inside
from scalable_binding.errors import UserError
from scalable_binding.flow.inference import EncodedFrame, Flow, Frames, between, neighbors
from scalable_binding.flow.model import FINEST, FlowNet, Maps
from scalable_binding.walk.multiscale import window_step

SAME = 0.6
"""Similarity to how a point was last seen from which on it counts as seen.

Flow is not so exact that every walker from a point in sight comes home.
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
class _States:
    """Points as they are in a frame; entries of points that have not begun do not matter.

    Attributes:
        places: x, y in pixels.
        visible: whether they are seen.
        speeds: pixels a frame, when last seen.
        appearance: features of the finest level where they were last seen.
        confidence: of the least sure step since they were given or seen again.
    """

    places: Float[Tensor, "n 2"]
    visible: Bool[Tensor, " n"]
    speeds: Float[Tensor, "n 2"]
    appearance: Float[Tensor, "n d"]
    confidence: Float[Tensor, " n"]


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
    starts = torch.tensor([point.frame for point in points])
    states: _States | None = None
    number = 0
    for before, after in neighbors(frames, model):
        if states is None:
            check_inside(points, *before.size)
            states = _begin(points, before)
            yield _listed(states, points, 0)
        number += 1
        if bool((starts < number).any()):
            states = _next(states, between(before, after, model), after, model)
        new = starts == number
        if bool(new.any()):
            states = _merged(new, _begin(points, after), states)
        yield _listed(states, points, number)
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


def _begin(points: Sequence[Keypoint], frame: EncodedFrame) -> _States:
    """All points as if they were given in this frame."""
    places = torch.tensor([(point.x, point.y) for point in points])
    return _States(
        places,
        torch.ones(len(points), dtype=torch.bool),
        torch.zeros_like(places),
        _appearance_at(frame, places),
        torch.ones(len(points)),
    )


def _merged(which: Bool[Tensor, " n"], chosen: _States, others: _States) -> _States:
    """For each point the one or the other state."""
    merged = {
        field.name: torch.where(
            which if getattr(chosen, field.name).ndim == 1 else which[:, None],
            getattr(chosen, field.name),
            getattr(others, field.name),
        )
        for field in fields(_States)
    }
    return _States(**merged)


def _listed(states: _States, points: Sequence[Keypoint], number: int) -> list[Track]:
    rows = zip(
        points,
        states.places.tolist(),
        states.visible.tolist(),
        states.confidence.tolist(),
        strict=True,
    )
    return [
        Track(number, point.id, x, y, visible, confidence if visible else 0.0)
        for point, (x, y), visible, confidence in rows
        if point.frame <= number
    ]


def _next(states: _States, found: Flow, after: EncodedFrame, model: FlowNet) -> _States:
    """The points in the next frame."""
    moved = _along_flow(states, found, after)
    drifted = _drifted(states, after)
    seen_again = _seen_again(states, drifted, after, model)
    return _merged(moved.visible, moved, _merged(seen_again.visible, seen_again, drifted))


def _along_flow(states: _States, found: Flow, after: EncodedFrame) -> _States:
    """Points that were seen go along the flow; visible where they are seen there, too."""
    maps = torch.cat([found.flow, found.hidden[None].float(), found.confidence[None]])
    values = _values(maps, states.places)
    step, hidden, sure = values[:, :2], values[:, 2] >= 0.5, values[:, 3]
    places = states.places + step
    appearance = _appearance_at(after, places)
    alike = (appearance * states.appearance).sum(dim=-1) >= SAME
    visible = states.visible & _is_inside(places, after) & (~hidden | alike)
    confidence = torch.minimum(states.confidence, sure)
    return _States(places, visible, step, appearance, confidence)


def _drifted(states: _States, after: EncodedFrame) -> _States:
    """Hidden points go on at their last speed, ever slower, within the frame."""
    speeds = _SLOWS * states.speeds
    height, width = after.size
    last = torch.tensor([width - 1.0, height - 1.0])
    places = torch.minimum((states.places + speeds).clamp(min=0), last)
    hidden = torch.zeros_like(states.visible)
    return replace(states, places=places, speeds=speeds, visible=hidden)


def _seen_again(states: _States, drifted: _States, after: EncodedFrame, model: FlowNet) -> _States:
    """Points that were hidden, where something around looks as they did: a step of the walk.

    Each goes from how it looked into the window of the finest level around where it is expected.
    """
    places, likeness = _search(drifted, after.features[-1], model)
    # Beyond the frame there is padding, which looks like its border.
    visible = ~states.visible & (likeness >= SAME) & _is_inside(places, after)
    return replace(drifted, places=places, visible=visible, confidence=likeness)


@torch.no_grad()
def _search(
    states: _States, features: Maps, model: FlowNet
) -> tuple[Float[Tensor, "n 2"], Float[Tensor, " n"]]:
    """The expected places in pixels of what looks like each point, and how alike the best is."""
    height, width = features.shape[-2:]
    nodes = rearrange(features, "1 d h w -> 1 (h w) d")
    center = _to_nodes(states.places).round().long()[None].to(features.device)
    looks = states.appearance[None].to(features.device)
    step, similarities = window_step(
        looks, nodes, center, (height, width), model.radius, model.temperature
    )
    places = step.expected_place()[0] * FINEST + (FINEST - 1) / 2
    return places.cpu(), similarities[0].amax(dim=-1).cpu()


def _appearance_at(frame: EncodedFrame, places: Float[Tensor, "n 2"]) -> Float[Tensor, "n d"]:
    """The features of the finest level between nodes at places in pixels."""
    found = _values(frame.features[-1][0].detach(), _to_nodes(places))
    return functional.normalize(found, dim=-1)


def _to_nodes(places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    return (places - (FINEST - 1) / 2) / FINEST


def _is_inside(places: Float[Tensor, "n 2"], frame: EncodedFrame) -> Bool[Tensor, " n"]:
    height, width = frame.size
    last = torch.tensor([width - 0.5, height - 0.5])
    return ((places >= -0.5) & (places < last)).all(dim=-1)


def _values(maps: Float[Tensor, "c h w"], places: Float[Tensor, "n 2"]) -> Float[Tensor, "n c"]:
    """The values of maps at places between pixels; at the border those of the border."""
    sides = torch.tensor([maps.shape[-1], maps.shape[-2]], device=maps.device)
    grid = (2 * places.to(maps.device) + 1) / sides - 1
    found = functional.grid_sample(
        maps[None].float(), grid.view(1, 1, -1, 2), padding_mode="border", align_corners=False
    )
    return found[0, :, 0].mT.cpu()

"""The exact truth of a world: masks, parts, key points, optical flow and amodal boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float32, Float64, Int16, Int64, UInt8
from torch import Tensor

from scalable_binding.data.synthetic import motion
from scalable_binding.data.synthetic.config import WorldConfig
from scalable_binding.data.synthetic.geometry import Points
from scalable_binding.data.synthetic.motion import Script
from scalable_binding.data.synthetic.painting import (
    draw_frames,
    first_surfaces,
    silhouette,
    surface_at,
    surfaces,
)
from scalable_binding.data.synthetic.world import Placement, World, build, place


@dataclass(frozen=True)
class Scene:
    """A clip with everything that is known about it: o objects, p parts, k key points.

    Positions are x, y in pixels; the center of the top left pixel is (0, 0).

    Attributes:
        frames: RGB.
        masks: the object (1 to o) that every pixel shows, 0 for background and scenery.
        parts: the part (1 to p) that every pixel shows, 0 where ``masks`` is 0.
        part_object: the object of parts 1 to p.
        keypoints: places fixed to the surface of a part; ``visible``: in the frame and not hidden.
        keypoint_object, keypoint_part: what they belong to.
        flow: from every pixel center of frame t to where its surface point is in frame t + 1,
            defined also where it leaves the frame or is hidden then.
        flow_valid: whether that place is in frame t + 1 and shows the same surface point.
        boxes: x0, y0, x1, y1 of whole objects, hidden or outside of the frame or not.
        box_visible: the share of an object's pixels in the frame that nothing hides; 0 where it is
            outside of the frame.
    """

    frames: UInt8[Tensor, "t 3 h w"]
    masks: UInt8[Tensor, "t h w"]
    parts: UInt8[Tensor, "t h w"]
    part_object: Int64[Tensor, "p"]
    keypoints: Float32[Tensor, "t k 2"]
    visible: Bool[Tensor, "t k"]
    keypoint_object: Int64[Tensor, "k"]
    keypoint_part: Int64[Tensor, "k"]
    flow: Float32[Tensor, "t-1 2 h w"]
    flow_valid: Bool[Tensor, "t-1 h w"]
    boxes: Float32[Tensor, "t o 4"]
    box_visible: Float32[Tensor, "t o"]


def render(config: WorldConfig, seed: int, *, script: Script = motion.wander) -> Scene:
    """The scene of a seed with all its truth: a pure function of its arguments.

    ``script`` draws how the objects move. Raises what ``WorldConfig`` raises.
    """
    return describe(build(config, seed, script), seed)


@torch.no_grad()
def describe(world: World, seed: int) -> Scene:
    """The frames of a world and their truth; ``seed`` draws the sensor's noise only."""
    count = world.config.num_frames
    placements = place(world, world.times)
    ids = torch.stack([surfaces(world, placements, t) for t in range(count)])
    to_object, to_part = _tables(world)
    keypoints, owners = _keypoints(world, placements)
    masks = _look_up(to_object, ids)
    flow, flow_valid = optical_flow(world, placements, ids)
    objects = placements[world.first_object :]
    return Scene(
        frames=draw_frames(world, seed),
        masks=masks,
        parts=_look_up(to_part, ids),
        part_object=to_object[to_part > 0],
        keypoints=keypoints.float(),
        visible=_are_visible(world, placements, keypoints, owners),
        keypoint_object=to_object[owners],
        keypoint_part=to_part[owners],
        flow=flow,
        flow_valid=flow_valid,
        boxes=_boxes(objects, count),
        box_visible=_visible_shares(world, placements, masks),
    )


def optical_flow(
    world: World, placements: list[Placement], ids: Int16[Tensor, "t h w"]
) -> tuple[Float32[Tensor, "t-1 2 h w"], Bool[Tensor, "t-1 h w"]]:
    """Flow from every frame to the next, and where its target is seen.

    Each pixel center goes back to its surface by the maps of frame t and forth by those of t + 1.
    """
    steps, height, width = len(ids) - 1, *ids.shape[1:]
    flow = torch.zeros(steps, 2, height, width)
    valid = torch.zeros(steps, height, width, dtype=torch.bool)
    for t in range(steps):
        for body, number, surface in _surfaces(placements):
            rows, columns = torch.nonzero(ids[t] == surface, as_tuple=True)
            if len(rows) == 0:
                continue
            placement, here = placements[body], (columns.double(), rows.double())
            on_part = placement.onto_part(number, t, placement.onto_body(t, here))
            there = placement.onto_screen(number, t + 1, on_part)
            seen = surface_at(placements, t + 1, there) == surface
            flow[t, 0, rows, columns] = (there[0] - here[0]).float()
            flow[t, 1, rows, columns] = (there[1] - here[1]).float()
            valid[t, rows, columns] = seen & _in_frame(world, there)
    return flow, valid


def _surfaces(placements: list[Placement]) -> list[tuple[int, int, int]]:
    """Body, part and number of every surface."""
    first = first_surfaces(placements)
    return [
        (body, part, first[body] + part)
        for body, placement in enumerate(placements)
        for part in range(len(placement.body.parts))
    ]


def _tables(world: World) -> tuple[Int64[Tensor, "s"], Int64[Tensor, "s"]]:
    """The object and the part that each surface belongs to, 0 for background and scenery."""
    objects = [
        max(0, index - world.first_object + 1)
        for index, body in enumerate(world.bodies)
        for _ in body.parts
    ]
    to_object = torch.tensor(objects)
    return to_object, torch.where(to_object > 0, torch.cumsum(to_object > 0, dim=0), 0)


def _look_up(table: Int64[Tensor, "s"], ids: Int16[Tensor, "t h w"]) -> UInt8[Tensor, "t h w"]:
    """The table's entries frame by frame, since wide integers of a whole clip take much memory."""
    small = table.to(torch.uint8)
    return torch.stack([small[frame.long()] for frame in ids])


def _keypoints(
    world: World, placements: list[Placement]
) -> tuple[Float64[Tensor, "t k 2"], Int64[Tensor, "k"]]:
    """Key points at the placements' times, and the surfaces that they lie on."""
    tracks, owners = [], []
    for body, number, surface in _surfaces(placements):
        if body < world.first_object:
            continue
        placement = placements[body]
        for x, y in placement.body.parts[number].keypoints:
            point = (torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
            frames = range(len(placement.depth))
            track = [torch.stack(placement.onto_screen(number, t, point)) for t in frames]
            tracks.append(torch.stack(track))
            owners.append(surface)
    if not tracks:
        return torch.zeros(len(placements[0].depth), 0, 2).double(), torch.zeros(0).long()
    return torch.stack(tracks, dim=1), torch.tensor(owners)


def _are_visible(
    world: World,
    placements: list[Placement],
    keypoints: Float64[Tensor, "t k 2"],
    owners: Int64[Tensor, "k"],
) -> Bool[Tensor, "t k"]:
    visible = torch.zeros(keypoints.shape[:2], dtype=torch.bool)
    for t in range(len(keypoints) if len(owners) else 0):
        points = (keypoints[t, :, 0], keypoints[t, :, 1])
        visible[t] = (surface_at(placements, t, points) == owners) & _in_frame(world, points)
    return visible


def _in_frame(world: World, points: Points) -> Bool[Tensor, "..."]:
    """Whether points lie between the centers of the outermost pixels."""
    (x, y), config = points, world.config
    return (x >= 0) & (y >= 0) & (x <= config.width - 1) & (y <= config.height - 1)


def _boxes(objects: list[Placement], count: int) -> Float32[Tensor, "t o 4"]:
    """The boxes around all parts of every object."""
    boxes = torch.zeros(count, len(objects), 4)
    for index, placement in enumerate(objects):
        boxes[:, index, :2] = placement.boxes[..., :2].amin(dim=1).float()
        boxes[:, index, 2:] = placement.boxes[..., 2:].amax(dim=1).float()
    return boxes


def _visible_shares(
    world: World, placements: list[Placement], shown: UInt8[Tensor, "t h w"]
) -> Float32[Tensor, "t o"]:
    """Pixels that show an object over pixels that it would cover if it were alone."""
    shares = torch.zeros(len(shown), world.num_objects)
    for index, placement in enumerate(placements[world.first_object :]):
        for t in range(len(shown)):
            covered = silhouette(world, placement, t).sum()
            shares[t, index] = (shown[t] == index + 1).sum() / covered.clamp(min=1)
    return shares

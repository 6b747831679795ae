"""What is carried through a video: soft label maps on feature cells, and how users see them.

A mask, soft maps or keypoints become a map of probabilities per cell, one channel a label with the
background first; the maps that come back become ids per pixel, or points with a confidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.crw import edges
from scalable_binding.crw.walk_config import STRIDE
from scalable_binding.data.labels.keypoints import Keypoint, check_inside
from scalable_binding.errors import UserError

Labels = UInt8[Tensor, "_ _"] | Float[Tensor, "_ _ _"] | Sequence[Keypoint]
"""Object ids ``(h w)``, 0 for background; soft maps ``(c h w)``, background first; or points."""

BLOB_SIGMA = 0.5
"""Standard deviation of a keypoint's Gaussian map, in cells (the JHMDB protocol)."""

TOP_CELLS = 3
"""Cells whose weighted mean is a keypoint's place (the JHMDB protocol)."""

MAX_LABELS = 255
"""Objects or points that a map of uint8 tells apart, beside the background."""


@dataclass(frozen=True)
class LabelSpace:
    """Which labels the channels 1, 2, ... of a label map stand for; channel 0 is background.

    Raises:
        UserError: more labels than a map of ids can hold.
    """

    ids: tuple[int, ...]
    are_points: bool

    def __post_init__(self) -> None:
        if len(self.ids) > MAX_LABELS:
            expected = f"at most {MAX_LABELS} objects or points"
            raise UserError("labels", expected=expected, got=str(len(self.ids)))

    def extended(self, ids: Sequence[int]) -> LabelSpace:
        """The space with those of ``ids`` appended that it does not hold yet."""
        new = tuple(sorted(set(ids) - set(self.ids)))
        return LabelSpace(self.ids + new, self.are_points)

    def channels(self, ids: Iterable[int]) -> list[int]:
        """The channels of labels in a map."""
        return [1 + self.ids.index(label) for label in ids]


def space_of(labels: Labels) -> LabelSpace:
    """The labels in a user's prompt.

    Raises:
        UserError: a mask without an object, an empty list of points, a point id used twice, or
            more than 255 labels.
    """
    if not isinstance(labels, Tensor):
        ids = tuple(sorted(point.id for point in labels))
        if not ids:
            raise UserError("labels", expected="at least one keypoint", got="none")
        if len(set(ids)) < len(ids):
            raise UserError("labels", expected="each keypoint id once a frame", got=str(ids))
        return LabelSpace(ids, are_points=True)
    if labels.ndim == 3:
        ids = tuple(range(1, labels.shape[0]))
    else:
        ids = tuple(int(label) for label in torch.unique(labels) if label != 0)
    if not ids:
        raise UserError(
            "labels",
            expected="a mask with at least one object",
            got="background only",
            fix="paint each object with its own id, 1 to 255",
        )
    return LabelSpace(ids, are_points=False)


def told(labels: Labels, objects: Sequence[int]) -> LabelSpace:
    """The space of the objects that a mask tells of, whether it has or lacks them.

    Raises:
        UserError: the labels are points or soft maps, or the mask has another object.
    """
    if not isinstance(labels, Tensor) or labels.ndim != 2:
        raise UserError("labels of some objects", expected="a mask of ids", got="other labels")
    others = set(labels.unique().tolist()) - {0, *objects}
    if others or not objects:
        expected = f"no objects but {', '.join(map(str, objects)) or '(at least one)'}"
        raise UserError("mask", expected=expected, got=f"object {min(others, default=0)}")
    return LabelSpace(tuple(sorted(set(objects))), are_points=False)


def without(maps: Float[Tensor, "h8 w8 c"], channels: Sequence[int]) -> Float[Tensor, "h8 w8 c"]:
    """The maps with some labels taken out, which become background."""
    kept = maps.clone()
    kept[..., 0] += kept[..., channels].sum(dim=-1)
    kept[..., channels] = 0
    return kept


def merge(
    before: Float[Tensor, "h8 w8 c"], given: Float[Tensor, "h8 w8 c"], channels: Sequence[int]
) -> Float[Tensor, "h8 w8 c"]:
    """The maps with some labels replaced; the others keep what these leave of each cell."""
    merged = before.clone()
    merged[..., channels] = 0
    merged *= 1 - given[..., channels].sum(dim=-1, keepdim=True).clamp(max=1)
    merged[..., channels] = given[..., channels]
    merged[..., 0] = (1 - merged[..., 1:].sum(dim=-1)).clamp(min=0)
    return merged


def merge_points(
    before: Float[Tensor, "h8 w8 c"], given: Float[Tensor, "h8 w8 c"], channels: Sequence[int]
) -> Float[Tensor, "h8 w8 c"]:
    """The maps with the blobs of some points replaced."""
    merged = before.clone()
    merged[..., channels] = given[..., channels]
    merged[..., 0] = (merged[..., 1:].sum(dim=-1) == 0).float()
    return merged


def confidence(maps: Float[Tensor, "h8 w8 c"], channel: int) -> float:
    """Soft intersection over union of an object's scores and its mask, in [0, 1].

    It is 1 where all scores are 0 or 1; an object that is no longer found has 0.
    """
    scores = maps[..., channel]
    inside = maps.argmax(dim=-1) == channel
    union = float(inside.sum() + scores[~inside].sum())
    return float(scores[inside].sum()) / union if union > 0.01 else 0.0


def read_size(height: int, width: int, zoom: float) -> tuple[int, int]:
    """The size in pixels that a frame is read at."""
    return round(height * zoom), round(width * zoom)


def enlarge(frame: UInt8[Tensor, "3 h w"], zoom: float) -> UInt8[Tensor, "3 h2 w2"]:
    """A frame at the size that it is read at."""
    _, height, width = frame.shape
    size = read_size(height, width, zoom)
    if size == (height, width):
        return frame
    return functional.interpolate(frame[None], size, mode="bilinear")[0]


def encode(
    labels: Labels,
    space: LabelSpace,
    height: int,
    width: int,
    zoom: float = 1.0,
    stride: int = STRIDE,
) -> Float[Tensor, "h8 w8 c"]:
    """The label map of a prompt on the feature cells of a frame of ``height`` x ``width`` pixels.

    Cells are ``stride`` pixels of the frame as it is read (the model's stride), enlarged by
    ``zoom``.

    Raises:
        UserError: a mask of another size, or a point outside the frame.
    """
    if not isinstance(labels, Tensor):
        return _encode_points(labels, space, height, width, zoom, stride)
    if tuple(labels.shape[-2:]) != (height, width):
        raise UserError(
            "labels",
            expected=f"the frame's size, {height} x {width} pixels",
            got=f"{labels.shape[-2]} x {labels.shape[-1]}",
            fix="resize the mask with nearest-neighbor sampling",
        )
    if labels.ndim == 2:
        channels = torch.tensor([0, *space.ids], dtype=labels.dtype, device=labels.device)
        labels = (labels == channels[:, None, None]).float()
        places = list(range(len(channels)))
    else:
        places = [0, *(1 + space.ids.index(label) for label in range(1, len(labels)))]
    cells = num_cells(height, width, zoom, stride)
    maps = labels.new_zeros(len(space.ids) + 1, *cells)
    maps[places] = functional.interpolate(labels[None], cells, mode="bilinear")[0]
    return rearrange(maps, "c h w -> h w c")


def decode_masks(
    maps: Float[Tensor, "h8 w8 c"],
    space: LabelSpace,
    height: int,
    width: int,
    guide: UInt8[Tensor, "3 h w"] | None = None,
) -> tuple[UInt8[Tensor, "h w"], Float[Tensor, "c h w"]]:
    """Ids and soft scores at the frame's own size: bilinear, then the largest.

    With a frame as ``guide``, masks follow its edges (:func:`edges.sharpen`). The ids of points,
    which may be any numbers, are replaced by their positions in the space, from 1.
    """
    # A copy: what is resized in the order of the cells comes out so, and is slow to compare.
    planes = rearrange(maps, "h w c -> 1 c h w").contiguous()
    if guide is None or space.are_points:
        scores = functional.interpolate(planes, (height, width), mode="bilinear")[0]
    else:
        scores = edges.sharpen(planes[0], guide.to(planes.device))
    ids = range(len(space.ids) + 1) if space.are_points else (0, *space.ids)  # positions of points
    return _of_largest(scores, ids), scores


def _of_largest(scores: Float[Tensor, "c h w"], ids: Sequence[int]) -> UInt8[Tensor, "h w"]:
    """The id of the largest score of each pixel, the first of equal ones.

    One pass a label over planes of pixels: ``argmax`` over the first axis takes ten times as long.
    """
    best = scores[0].clone()
    found = torch.full_like(best, ids[0], dtype=torch.uint8)
    for score, label in zip(scores[1:], ids[1:], strict=True):
        found.masked_fill_(score > best, label)
        torch.maximum(best, score, out=best)
    return found


def decode_points(
    maps: Float[Tensor, "h8 w8 c"],
    space: LabelSpace,
    frame: int,
    height: int,
    width: int,
    zoom: float = 1.0,
    stride: int = STRIDE,
) -> tuple[Keypoint, ...]:
    """Points in pixels: the mean of the three cells with the largest score, weighted by it.

    The confidence is the largest score over what it would be on the labeled frame; a point whose
    map is empty stays nowhere in particular and has confidence 0.
    """
    cells_wide = maps.shape[1]
    flat = rearrange(maps[..., 1:], "h w c -> c (h w)")
    weights, index = flat.topk(min(TOP_CELLS, flat.shape[1]), dim=1)
    total = weights.sum(dim=1).clamp(min=1e-12)
    x = (weights * (index % cells_wide)).sum(dim=1) / total
    y = (weights * (index // cells_wide)).sum(dim=1) / total
    cell_height, cell_width = _cell(height, width, zoom, stride)
    return tuple(
        Keypoint(
            frame=frame,
            id=label,
            x=min(max(float(x[i] + 0.5) * cell_width - 0.5, 0.0), width - 1.0),
            y=min(max(float(y[i] + 0.5) * cell_height - 0.5, 0.0), height - 1.0),
            confidence=min(float(weights[i, 0]), 1.0),
        )
        for i, label in enumerate(space.ids)
    )


def _encode_points(
    points: Sequence[Keypoint],
    space: LabelSpace,
    height: int,
    width: int,
    zoom: float,
    stride: int,
) -> Float[Tensor, "h8 w8 c"]:
    """A Gaussian around each point that is to be seen; background where none of them is."""
    check_inside(points, height, width)
    cells = num_cells(height, width, zoom, stride)
    cell_height, cell_width = _cell(height, width, zoom, stride)
    y, x = torch.meshgrid(*(torch.arange(size) for size in cells), indexing="ij")
    maps = torch.zeros(*cells, len(space.ids) + 1)
    for point in points:
        if point.confidence == 0:
            continue
        cell_x, cell_y = (point.x + 0.5) / cell_width - 0.5, (point.y + 0.5) / cell_height - 0.5
        squared = (x - cell_x) ** 2 + (y - cell_y) ** 2
        blob = torch.exp(-squared / (2 * BLOB_SIGMA**2))
        blob = torch.where(blob < 1e-3, 0.0, blob)
        maps[..., 1 + space.ids.index(point.id)] = blob / blob.max()
    maps[..., 0] = (maps.sum(dim=-1) == 0).float()
    return maps


def num_cells(height: int, width: int, zoom: float, stride: int) -> tuple[int, int]:
    """Feature cells of a frame, the last of which may reach over its border."""
    tall, wide = read_size(height, width, zoom)
    return -(-tall // stride), -(-wide // stride)


def _cell(height: int, width: int, zoom: float, stride: int) -> tuple[float, float]:
    """Height and width of a cell, in pixels of the frame."""
    tall, wide = read_size(height, width, zoom)
    return stride * height / tall, stride * width / wide

"""Views of the dense walk: windows cut out of a clip's frames, and where their nodes lie.

A window is (top, left, height, width) in pixels of its frame.
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.crw.dense_config import DenseWalkConfig


def draw_windows(
    num_views: int, height: int, width: int, config: DenseWalkConfig, generator: Generator
) -> Int64[Tensor, "v 4"]:
    """Windows around one place of a clip, at about one scale, each moved and scaled by itself.

    They lie inside frames of ``height`` x ``width`` pixels.
    """

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    zoom = math.log(config.zoom)
    side = config.view * between(-zoom, zoom).exp()
    scale = between(-config.scale, config.scale, num_views).exp()
    aspect = between(-config.aspect, config.aspect, num_views).exp()
    limit = torch.tensor([height, width])
    size = torch.stack([side * scale / aspect.sqrt(), side * scale * aspect.sqrt()], dim=1)
    size = torch.minimum(size, limit)
    center = side / 2 + (limit - side).clamp(min=0) * between(0.0, 1.0, 2)
    center = center + side * between(-config.shift, config.shift, num_views, 2)
    size = size.round()
    corner = torch.minimum((center - size / 2).round().clamp(min=0), limit - size)
    return torch.cat([corner, size], dim=1).long()


def cut(
    frames: UInt8[Tensor, "v 3 h w"], windows: Int64[Tensor, "v 4"], size: int
) -> UInt8[Tensor, "v 3 size size"]:
    """The content of each frame's window, resized without aliasing to ``size`` x ``size``."""
    views = []
    for frame, (top, left, height, width) in zip(frames, windows.tolist(), strict=True):
        window = frame[None, :, top : top + height, left : left + width]
        views.append(
            functional.interpolate(
                window, size=(size, size), mode="bilinear", antialias=True, align_corners=False
            )
        )
    return torch.cat(views)


def places_in_other_view(
    before: Float[Tensor, "b 4"], after: Float[Tensor, "b 4"], grid: int
) -> tuple[Float[Tensor, "b n 2"], Bool[Tensor, "b n"]]:
    """Where the centers of one window's nodes lie on the grid of nodes of another.

    Returns:
        Row and column in units of nodes, 0 at the center of the first node, row by row; and
        whether the place lies inside the other window.
    """
    steps = (torch.arange(grid, device=before.device, dtype=before.dtype) + 0.5) / grid

    def along(axis: int) -> Float[Tensor, "b g"]:
        place = before[:, axis, None] + before[:, axis + 2, None] * steps
        return (place - after[:, axis, None]) / after[:, axis + 2, None] * grid - 0.5

    rows, columns = torch.broadcast_tensors(along(0)[:, :, None], along(1)[:, None, :])
    places = rearrange([rows, columns], "two b y x -> b (y x) two")
    inside = ((places > -0.5) & (places < grid - 0.5)).all(dim=-1)
    return places, inside


def nearest_nodes(
    places: Float[Tensor, "b n 2"], grid: int
) -> tuple[Int64[Tensor, "b n 4"], Float[Tensor, "b n 4"]]:
    """The four nodes around each place and their bilinear weights, which sum to one.

    Beyond the center of a border's node, the border's node has all the weight.
    """
    places = places.clamp(0, grid - 1)
    low = places.floor().clamp(max=max(grid - 2, 0)).long()
    part = places - low
    high = (low + 1).clamp(max=grid - 1)
    rows = torch.stack([low[..., 0], high[..., 0]], dim=-1)
    columns = torch.stack([low[..., 1], high[..., 1]], dim=-1)
    row_weights = torch.stack([1 - part[..., 0], part[..., 0]], dim=-1)
    column_weights = torch.stack([1 - part[..., 1], part[..., 1]], dim=-1)
    nodes = rearrange(rows[..., :, None] * grid + columns[..., None, :], "b n y x -> b n (y x)")
    weights = row_weights[..., :, None] * column_weights[..., None, :]
    return nodes, rearrange(weights, "b n y x -> b n (y x)")

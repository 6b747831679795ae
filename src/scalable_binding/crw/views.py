"""What the encoder sees of a clip: jittered patches of each frame, or moved views of it.

Everything is a box cut out of a frame and resampled, so crops of crops cost one resampling.
A box is (top, left, height, width) in pixels; top and left are the outer edge of the first pixel.
"""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.crw.walk_config import PatchConfig, ViewConfig
from scalable_binding.errors import UserError
from scalable_binding.walk.losses import IGNORE

Boxes = Float[Tensor, "*batch 4"]


def patches(
    frames: UInt8[Tensor, "b t 3 h w"], config: PatchConfig, generator: Generator
) -> Float[Tensor, "b t n 3 p p"]:
    """Jittered patches on a grid over a random crop of each frame, colors in [0, 1].

    Source: Thesis 3.2.3 and 3.7.10.
    """
    b = len(frames)
    frames = shrink(frames, config.frame_size)
    t, _, height, width = frames.shape[1:]
    whole = torch.tensor([0.0, 0.0, height, width]).expand(b, t, 4)
    crops = random_crops(whole, config.frame_scale, config.frame_ratio, generator)
    grid = _grid(config)
    scale = repeat(crops[..., 2:], "b t s -> b t 1 (two s)", two=2)
    origin = functional.pad(crops[..., :2], (0, 2)).unsqueeze(2)
    boxes = random_crops(origin + grid * scale, config.jitter_scale, config.jitter_ratio, generator)
    cut = resample(
        rearrange(frames, "b t c h w -> (b t) c h w"),
        rearrange(boxes, "b t n box -> (b t) n box"),
        config.size,
    )
    return rearrange(cut, "(b t) n c y x -> b t n c y x", b=b)


def still_patches(
    frames: UInt8[Tensor, "t 3 h w"], config: PatchConfig
) -> Float[Tensor, "t n 3 p p"]:
    """The patches of whole frames without any jitter, for pictures and tests."""
    frames = shrink(frames, config.frame_size)
    height, width = frames.shape[-2:]
    boxes = _grid(config) * torch.tensor([height, width, height, width])
    return resample(frames, boxes.expand(len(frames), -1, -1), config.size)


def shrink(frames: UInt8[Tensor, "*b 3 h w"], size: int) -> UInt8[Tensor, "*b 3 h2 w2"]:
    """Frames whose longer sides are brought down to ``size`` pixels, without aliasing.

    Patches are cut by bilinear sampling, which would skip pixels of larger frames.
    """
    height, width = frames.shape[-2:]
    target = (min(height, size), min(width, size))
    if target == (height, width):
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    small = functional.interpolate(flat, size=target, mode="bilinear", antialias=True)
    return small.reshape(*frames.shape[:-3], 3, *target)


def moved_views(
    frames: UInt8[Tensor, "b t 3 h w"], config: ViewConfig, generator: Generator
) -> tuple[Float[Tensor, "b t2 3 p p"], Float[Tensor, "b t2 4"]]:
    """One view of each frame and one more of frame 0, and the boxes that they show.

    Where the cells of the first view lie in the last one: :func:`cells_in_other_view`.

    Raises:
        UserError: frames smaller than a view.
    """
    b, t, _, height, width = frames.shape
    if min(height, width) < config.size:
        expected = f"frames of at least {config.size} x {config.size} pixels for views.size"
        raise UserError("clip", expected=expected, got=f"{height} x {width}")
    tour = torch.cat([frames, frames[:, :1]], dim=1)
    limit = min(height, width) / config.size
    zoom = torch.exp((2 * _uniform((b, t + 1, 1), generator) - 1) * config.scale)
    side = zoom.clamp(max=limit) * config.size
    offset = (2 * _uniform((b, t + 1, 2), generator) - 1) * config.shift
    room = torch.tensor([height, width]) - side
    corner = torch.minimum((room / 2 + offset).clamp(min=0), room)
    boxes = torch.cat([corner, side, side], dim=-1)
    views = resample(
        rearrange(tour, "b t c h w -> (b t) c h w"),
        rearrange(boxes, "b t x -> (b t) 1 x"),
        config.size,
    )
    views = change_colors(views[:, 0], config.color, generator)
    return rearrange(views, "(b t) c y x -> b t c y x", b=b), boxes


def random_crops(
    boxes: Boxes, scale: tuple[float, float], ratio: tuple[float, float], generator: Generator
) -> Boxes:
    """A random part of each box, by its share of the area and its aspect, width over height."""
    area_share, aspect, place_y, place_x = _uniform((4, *boxes.shape[:-1]), generator)
    top, left, height, width = boxes.unbind(dim=-1)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * area_share)
    low, high = torch.tensor(ratio).log()
    aspect = torch.exp(low + (high - low) * aspect)
    new_height = torch.minimum((area / aspect).sqrt(), height)
    new_width = torch.minimum((area * aspect).sqrt(), width)
    new_top = top + (height - new_height) * place_y
    new_left = left + (width - new_width) * place_x
    return torch.stack([new_top, new_left, new_height, new_width], dim=-1)


def resample(
    frames: UInt8[Tensor, "b c h w"], boxes: Float[Tensor, "b n 4"], size: int
) -> Float[Tensor, "b n c p p"]:
    """The content of each box as a ``size`` x ``size`` image with values in [0, 1], bilinear."""
    height, width = frames.shape[-2:]
    steps = (torch.arange(size) + 0.5) / size
    boxes = boxes.to(frames.device)
    steps = steps.to(frames.device)
    y = (boxes[..., 0, None] + boxes[..., 2, None] * steps) / height * 2 - 1
    x = (boxes[..., 1, None] + boxes[..., 3, None] * steps) / width * 2 - 1
    grid = torch.stack(
        [
            repeat(x, "b n x -> b (n y) x", y=size),
            repeat(y, "b n y -> b (n y) x", x=size),
        ],
        dim=-1,
    )
    cut = functional.grid_sample(
        frames.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return rearrange(cut, "b c (n y) x -> b n c y x", y=size)


def change_colors(
    images: Float[Tensor, "b 3 h w"], strength: float, generator: Generator
) -> Float[Tensor, "b 3 h w"]:
    """Images with random brightness, tint, contrast and, now and then, without color."""
    if strength == 0:
        return images
    gain, tint, contrast, offset, gray = (
        _uniform((images.shape[0], channels, 1, 1), generator).to(images.device)
        for channels in (1, 3, 1, 1, 1)
    )
    images = images * (1 + strength * (2 * gain - 1)) * (1 + strength / 2 * (2 * tint - 1))
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + strength * (2 * contrast - 1)) + mean
    images = images + strength / 2 * (2 * offset - 1)
    images = torch.where(gray < strength / 2, images.mean(dim=1, keepdim=True), images)
    return images.clamp(0, 1)


def cells_in_other_view(
    before: Float[Tensor, "b 4"], after: Float[Tensor, "b 4"], grid: int
) -> Int64[Tensor, "b n"]:
    """For each cell of a grid over the box ``before``, the cell over ``after`` at its center.

    -1 where a cell's center lies outside ``after``.
    """
    centers = (torch.arange(grid) + 0.5) / grid

    def along(axis: int) -> Int64[Tensor, "b g"]:
        place = before[:, axis, None] + before[:, axis + 2, None] * centers
        cell = ((place - after[:, axis, None]) / after[:, axis + 2, None] * grid).floor().long()
        return torch.where((cell >= 0) & (cell < grid), cell, IGNORE)

    y, x = along(0)[:, :, None], along(1)[:, None, :]
    cells = torch.where((y == IGNORE) | (x == IGNORE), IGNORE, y * grid + x)
    return rearrange(cells, "b y x -> b (y x)")


def _grid(config: PatchConfig) -> Float[Tensor, "n 4"]:
    """The boxes of the patches in units of the frame's side, row by row."""
    corners = torch.arange(config.grid) * (config.stride / config.frame_size)
    top, left = torch.meshgrid(corners, corners, indexing="ij")
    side = torch.full_like(top, config.size / config.frame_size)
    return rearrange([top, left, side, side], "box y x -> (y x) box")


def _uniform(shape: tuple[int, ...], generator: Generator) -> Float[Tensor, "..."]:
    """Numbers in [0, 1), drawn where the generator lives, on the CPU."""
    return torch.rand(shape, generator=generator, device=generator.device).cpu()

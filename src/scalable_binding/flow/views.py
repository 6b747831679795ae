"""Views of frames for training: with displacements known by construction, and changed ones.

``layered`` makes two views of one frame, with blobs of other frames in front, and moves every layer
by a smooth warp of its own. The first view is painted by looking up each of its pixels in the
layers of the second, so the displacement of every pixel is exact, also of one that is hidden there.
``changed`` turns, moves and tints the two frames of a clip, and says what that makes of a
displacement found on the clip itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.flow.presets import FlowViewConfig
from scalable_binding.walk.multiscale import grid

Images = Float[Tensor, "b 3 h w"]
Places = Float[Tensor, "b rows columns 2"]

_WAVES = 4
_BENDS = 4


@dataclass(frozen=True)
class Pair:
    """Two views and what is known of them.

    Attributes:
        first, second: colors in [0, 1].
        flow: displacement (x, y) of each pixel of the first view, in pixels.
        known: where ``flow`` is known.
        visible: where it is known and leads to what is seen in the second view.
    """

    first: Images
    second: Images
    flow: Float[Tensor, "b 2 h w"]
    known: Bool[Tensor, "b h w"]
    visible: Bool[Tensor, "b h w"]


@dataclass(frozen=True)
class Blobs:
    """A round body with a wavy outline for each image: radius(angle) about a center, in pixels."""

    center: Float[Tensor, "b 2"]
    radius: Float[Tensor, " b"]
    waves: Float[Tensor, "b i"]
    phases: Float[Tensor, "b i"]

    def cover(self, places: Places) -> Float[Tensor, "b rows columns"]:
        """How much of each place the body covers, in [0, 1]; a pixel wide at its outline."""
        x, y = (places - self.center[:, None, None]).unbind(dim=-1)
        turns = torch.arange(2, self.waves.shape[1] + 2, device=x.device)
        angle = torch.atan2(y, x)[..., None] * turns + self.phases[:, None, None]
        outline = 1 + (self.waves[:, None, None] * torch.cos(angle)).sum(dim=-1)
        return (self.radius[:, None, None] * outline - torch.hypot(x, y) + 0.5).clamp(0, 1)


def layered(frames: Images, config: FlowViewConfig, generator: Generator) -> Pair:
    """Two views of the middle of each frame, with blobs of other frames that move before it.

    Args:
        frames: at least as large as a view; in a batch of one, blobs show the mirrored frame.
        config: of the views; their colors are not changed.
        generator: of warps and blobs.
    """
    size = config.size
    here = _grid(frames, size)
    inset = (torch.tensor([frames.shape[-1], frames.shape[-2]], device=frames.device) - size) // 2
    there = [here + _warp(frames, config, generator)]
    first, second = _sample(frames, there[0] + inset), _sample(frames, here + inset)
    owner = torch.zeros(here.shape[:-1], dtype=torch.long, device=frames.device)
    blobs = []
    for layer in range(1, config.layers + 1):
        other = frames.roll(layer, dims=0).flip(-1)
        blobs.append(_draw_blobs(frames, size, generator))
        there.append(here + _warp(frames, config, generator))
        cover, cover_there = blobs[-1].cover(there[-1]), blobs[-1].cover(here)
        first = first.lerp(_sample(other, there[-1] + inset), cover[:, None])
        second = second.lerp(_sample(other, here + inset), cover_there[:, None])
        owner = torch.where(cover > 0.5, layer, owner)
    index = rearrange(owner, "b h w -> 1 b h w 1").expand(-1, -1, -1, -1, 2)
    target = torch.stack(there).gather(0, index)[0]
    visible = ((target >= 0) & (target <= size - 1)).all(dim=-1)
    for layer, body in enumerate(blobs, start=1):
        visible &= (owner >= layer) | (body.cover(target) <= 0.5)
    flow = rearrange(target - here, "b h w xy -> b xy h w")
    return Pair(first, second, flow, torch.ones_like(visible), visible)


def changed(
    first: Images,
    second: Images,
    flow: Float[Tensor, "b 2 h w"],
    reliable: Bool[Tensor, "b h w"],
    config: FlowViewConfig,
    generator: Generator,
) -> Pair:
    """Views of two frames, each turned, zoomed and moved, with the displacement carried over.

    Args:
        first, second: frames of a clip.
        flow: displacements found from the first to the second.
        reliable: where these are to be believed.
        config: of the views; their colors are not changed.
        generator: of the changes.
    """
    size = config.size
    here = _grid(first, size)
    sides = torch.tensor([first.shape[-1], first.shape[-2]], device=first.device)
    middle = (sides - 1) / 2
    offset = middle - (size - 1) / 2
    turn, shift = _draw_motion(first, config, generator)
    extra, extra_shift = _draw_motion(first, config, generator)
    shift = shift * offset
    turn_2, shift_2 = extra @ turn, shift + extra_shift * config.shift / 4
    source = _move(here - (size - 1) / 2, turn, shift) + middle
    moved = source + _at(flow, source)
    back = torch.linalg.inv(turn_2)
    target = _move(moved - middle - shift_2[:, None, None], back) + (size - 1) / 2
    seen = _move(here - (size - 1) / 2, turn_2, shift_2) + middle
    inside = ((source >= 0) & (source <= sides - 1)).all(dim=-1)
    known = inside & (_at(reliable[:, None].float(), source)[..., 0] > 0.5)
    visible = known & ((target >= 0) & (target <= size - 1)).all(dim=-1)
    carried = rearrange(target - here, "b h w xy -> b xy h w")
    return Pair(_sample(first, source), _sample(second, seen), carried, known, visible)


def home_view(frames: Images, config: FlowViewConfig, generator: Generator) -> Pair:
    """The frames, and another view of each that walkers come home to: turned, zoomed and moved.

    Args:
        frames: of any size; the views are as large.
        config: of the views; their colors are not changed.
        generator: of the changes.
    """
    height, width = frames.shape[-2:]
    sides = torch.tensor([width, height], device=frames.device)
    middle = (sides - 1) / 2
    linear, direction = _draw_motion(frames, config, generator)
    shift = direction * config.shift / 4
    here = grid((height, width), frames.device).view(height, width, 2).to(frames.dtype)
    here = here.expand(len(frames), -1, -1, -1)
    target = _move(here - middle, linear, shift) + middle
    source = _move(here - middle - shift[:, None, None], torch.linalg.inv(linear)) + middle
    visible = ((target >= 0) & (target <= sides - 1)).all(dim=-1)
    flow = rearrange(target - here, "b h w xy -> b xy h w")
    return Pair(frames, _sample(frames, source), flow, torch.ones_like(visible), visible)


def tinted(images: Images, config: FlowViewConfig, generator: Generator) -> Images:
    """The images with other brightness, contrast and tint, and with noise, each its own."""
    draws = _uniform(images, (len(images), 9), generator) * config.color
    gain = torch.exp(draws[:, :1] + 0.3 * draws[:, 1:4])
    bias = 0.3 * (draws[:, 4:5] + 0.3 * draws[:, 5:8])
    noise = torch.randn(images.shape, generator=generator, device=generator.device).to(images)
    strength = 0.1 * draws[:, 8].abs()
    result = images * gain[..., None, None] + bias[..., None, None]
    return (result + strength[:, None, None, None] * noise).clamp(0, 1)


def _warp(frames: Images, config: FlowViewConfig, generator: Generator) -> Places:
    """Displacements of a view's pixels: a shift, a turn, a zoom, and a smooth bend."""
    b, size = len(frames), config.size
    linear, direction = _draw_motion(frames, config, generator)
    draws = torch.rand(b, generator=generator, device=generator.device).to(frames)
    least = min(config.min_shift, config.shift)
    amount = least * (config.shift / least) ** draws if config.shift else 0 * draws
    length = direction.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    shift = amount[:, None] * direction / length
    places = _grid(frames, size) - (size - 1) / 2
    knots = _uniform(frames, (b, 2, _BENDS, _BENDS), generator)
    bend = functional.interpolate(knots, (size, size), mode="bicubic", align_corners=True)
    bend = config.bend * amount[:, None, None, None] * bend
    return _move(places, linear, shift) - places + rearrange(bend, "b xy h w -> b h w xy")


def _draw_motion(
    frames: Images, config: FlowViewConfig, generator: Generator
) -> tuple[Float[Tensor, "b 2 2"], Float[Tensor, "b 2"]]:
    """A turn with zoom for each image, and a direction in [-1, 1]^2."""
    draws = _uniform(frames, (len(frames), 4), generator)
    angle, zoom = config.turn * draws[:, 0] * draws[:, 0].abs(), config.scale * draws[:, 1]
    cosine, sine = torch.exp(zoom) * torch.cos(angle), torch.exp(zoom) * torch.sin(angle)
    linear = torch.stack([cosine, -sine, sine, cosine], dim=-1).view(-1, 2, 2)
    return linear, draws[:, 2:]


def _draw_blobs(frames: Images, size: int, generator: Generator) -> Blobs:
    draws = _uniform(frames, (len(frames), 3 + 2 * _WAVES), generator)
    waves = 0.3 * draws[:, 3 : 3 + _WAVES] / torch.arange(1, _WAVES + 1, device=frames.device)
    return Blobs(
        center=size * (0.5 + 0.45 * draws[:, :2]),
        radius=size * torch.exp(math.log(0.2) + 0.6 * draws[:, 2]),
        waves=waves,
        phases=math.pi * draws[:, 3 + _WAVES :],
    )


def _move(
    places: Places, linear: Float[Tensor, "b 2 2"], shift: Float[Tensor, "b 2"] | None = None
) -> Places:
    moved = torch.einsum("bij,bhwj->bhwi", linear, places)
    return moved if shift is None else moved + shift[:, None, None]


def _grid(frames: Images, size: int) -> Places:
    places = grid((size, size), frames.device).view(size, size, 2).to(frames.dtype)
    return places.expand(len(frames), -1, -1, -1)


def _at(maps: Float[Tensor, "b c h w"], places: Places) -> Float[Tensor, "b h2 w2 c"]:
    """Values of maps between their pixels."""
    return rearrange(_sample(maps, places), "b c h w -> b h w c")


def _sample(maps: Float[Tensor, "b c h w"], places: Places) -> Float[Tensor, "b c h2 w2"]:
    """The same, channels first; beyond the border maps are mirrored."""
    sides = torch.tensor([maps.shape[-1], maps.shape[-2]], device=maps.device)
    return functional.grid_sample(
        maps, (2 * places + 1) / sides - 1, padding_mode="reflection", align_corners=False
    )


def _uniform(like: Tensor, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Numbers in [-1, 1), drawn where the generator lives."""
    return 2 * torch.rand(shape, generator=generator, device=generator.device).to(like) - 1

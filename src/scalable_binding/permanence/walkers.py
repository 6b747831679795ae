"""Walkers: where objects may be, as probabilities over the cells of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scalable_binding.walk.local import local_affinity, local_step

Walkers = Float[Tensor, "b o h w"]


class Places(NamedTuple):
    """Where walkers most likely are: x, y in cells, and how much of their mass is there."""

    center: Float[Tensor, "b o 2"]
    confidence: Float[Tensor, "b o"]


def start(center: Float[Tensor, "b o 2"], height: int, width: int) -> Walkers:
    """Walkers at places given in cells, each shared by the four cells around it.

    Their mean is the place itself. A place outside the map counts as the nearest one inside.
    """
    x = center[..., 0].clamp(0, width - 1)[..., None]
    y = center[..., 1].clamp(0, height - 1)[..., None]
    across = (1 - (torch.arange(width, device=center.device) - x).abs()).clamp(min=0)
    down = (1 - (torch.arange(height, device=center.device) - y).abs()).clamp(min=0)
    return down[..., :, None] * across[..., None, :]


def steps(
    nodes: Float[Tensor, "b t d h w"], radius: int, temperature: float
) -> Float[Tensor, "b t-1 h w k"]:
    """Probabilities of the steps from each frame's cells to the next one's; rows sum to one."""
    b = len(nodes)
    before = rearrange(nodes[:, :-1], "b t d h w -> (b t) d h w")
    after = rearrange(nodes[:, 1:], "b t d h w -> (b t) d h w")
    affinity = local_affinity(before, after, radius, temperature)
    return rearrange(affinity, "(b t) h w k -> b t h w k", b=b)


def walk(
    walkers: Walkers, affinities: Float[Tensor, "b s h w k"], radius: int
) -> Float[Tensor, "b t o h w"]:
    """Where walkers are in each frame: ``P_t = P_0 A_0^1 ... A_(t-1)^t``.

    Source: Tokmakov et al., ICML 2022, with the rows of every A normalized.
    """
    path = [walkers]
    for affinity in affinities.unbind(dim=1):
        path.append(local_step(path[-1], affinity, radius))
    return torch.stack(path, dim=1)


def walk_from(
    starts: Float[Tensor, "b t o h w"],
    frames: Sequence[int],
    affinities: Float[Tensor, "b s h w k"],
    radius: int,
) -> Float[Tensor, "b t m h w"]:
    """Where walkers are in each frame that set out in several frames, from the starts there.

    The o walkers of the first of the s ``frames`` come first. Before it sets out, a walker is
    nowhere: it has no mass.
    """
    b, t, o, h, w = starts.shape
    now = starts.new_zeros(b, len(frames) * o, h, w)
    path = []
    for frame in range(t):
        if frame:
            now = local_step(now, affinities[:, frame - 1], radius)
        if frame in frames:
            number = list(frames).index(frame)
            later = now[:, (number + 1) * o :]
            now = torch.cat([now[:, : number * o], starts[:, frame], later], dim=1)
        path.append(now)
    return torch.stack(path, dim=1)


def locate(walkers: Walkers) -> Places:
    """The mean of each walker in the 3 x 3 cells with the most of its mass, and that mass."""
    b, _, h, w = walkers.shape
    flat = rearrange(walkers, "b o h w -> (b o) 1 h w")
    nearby = functional.avg_pool2d(flat, 3, stride=1, padding=1, divisor_override=1)
    best = (nearby + flat).flatten(1).argmax(dim=1)  # its own mass tells equal sums apart
    row, column = best // w, best % w
    y = torch.arange(h, device=flat.device)
    x = torch.arange(w, device=flat.device)
    is_near = ((y - row[:, None]).abs() <= 1)[:, :, None] & ((x - column[:, None]).abs() <= 1)[
        :, None
    ]
    mass = flat[:, 0] * is_near
    total = mass.sum(dim=(1, 2))
    share = total.clamp(min=1e-12)
    center = torch.stack(
        ((mass.sum(dim=1) * x).sum(dim=1) / share, (mass.sum(dim=2) * y).sum(dim=1) / share), dim=-1
    )
    return Places(
        rearrange(center, "(b o) xy -> b o xy", b=b), rearrange(total, "(b o) -> b o", b=b)
    )


def sample(
    maps: Float[Tensor, "b c h w"], center: Float[Tensor, "b o 2"]
) -> Float[Tensor, "b o c"]:
    """Values of a map at places given in cells, bilinear; the border is repeated."""
    h, w = maps.shape[-2:]
    shares = start(center, h, w)
    return torch.einsum("bchw,bohw->boc", maps, shares.to(maps.dtype))

"""Read attention during sampling: entropy, and concentration on regions that carry information.

All figures are of read attention averaged over the latents: each token's share of it. The shares
of a map sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.diffusion import samplers
from scalable_binding.diffusion.samplers import State
from scalable_binding.rin import inference
from scalable_binding.rin.inference import Classes, Pretrained, SamplingConfig

CHANGE = 0.1
"""Difference of brightness, in [0, 1], from which a pixel counts as changed."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Read attention of one reverse process.

    ``maps`` are the shares ``(s b k n)`` of s steps, b samples, k blocks and n tokens; ``times``
    when each step looked, 1 being all noise; ``regions`` ``(b n)`` the tokens that change or carry
    detail, as the finished ``samples`` show; ``seen`` the signal that the network saw in the noise
    at those steps that are numbered in ``shown``, given frames included as in ``samples``.
    """

    times: Sequence[float]
    maps: Float[Tensor, "s b k n"]
    regions: Bool[Tensor, "b n"]
    samples: UInt8[Tensor, "b c *size"]
    shown: Sequence[int]
    seen: UInt8[Tensor, "q b c *size"]

    @property
    def entropy(self) -> Float[Tensor, "s k"]:
        """Of each step and block, mean of the samples: 1 for uniform maps, 0 for one token."""
        return entropy(self.maps).mean(dim=1)

    @property
    def concentration(self) -> Float[Tensor, "s k"]:
        """The regions' share of reading over their share of tokens, of each step and block.

        1 is uniform reading. Samples without a region, or that are all region, tell nothing and
        are left out; NaN if all are.
        """
        return concentration(self.maps, self.regions)


def read(
    pretrained: Pretrained,
    num: int,
    config: SamplingConfig | None = None,
    *,
    classes: Classes | None = None,
    context: Float[Tensor, "num c k h w"] | None = None,
    num_shown: int = 6,
    watch: Callable[[int, State], object] | None = None,
) -> Reading:
    """Record read attention while sampling (Fig. 2.6, 2.11).

    Args:
        pretrained, num, config, classes, context: as :func:`scalable_binding.rin.inference.sample`;
            samples come in batches of ``config.batch_size``.
        num_shown: steps, spread over the process, of which to keep what was seen.
        watch: is told the number of the batch's first sample and its state after every step.

    Raises:
        UserError: as ``sample``.

    Source: Thesis 2.3.5.
    """
    config = config or SamplingConfig()
    places = torch.linspace(0, config.steps - 1, num_shown).tolist()
    shown = sorted({round(place) for place in places})
    maps, seen, samples = [], [], []
    for first in range(0, num, config.batch_size):
        count = min(config.batch_size, num - first)
        given = None if context is None else context[first : first + count]
        states = inference.sample(
            pretrained, count, config, classes=classes, first=first, context=given, attend=True
        )
        read_at, seen_at, x0 = [], [], None
        for state in states:
            # Of a guided process the half that knows the class.
            read_at.append(average(state.carry.attention)[:count].cpu())
            x0 = _whole(pretrained, state.x0, given)
            if state.step in shown:
                seen_at.append(x0)
            if watch is not None:
                watch(first, state)
        assert x0 is not None
        maps.append(torch.stack(read_at))
        seen.append(torch.stack(seen_at))
        samples.append(x0)
    finished = torch.cat(samples)
    finder = changing if pretrained.is_video else detailed
    return Reading(
        times=samplers.spread(config.steps)[:-1],
        maps=torch.cat(maps, dim=1),
        regions=finder(finished.float() / 255, pretrained.model.grid),
        samples=finished,
        shown=shown,
        seen=torch.cat(seen, dim=1),
    )


def _whole(
    pretrained: Pretrained, x0: Float[Tensor, "b c *size"], context: Tensor | None
) -> UInt8[Tensor, "b c *full"]:
    """Pictures of a signal with the frames before it that were given."""
    if context is not None:
        x0 = torch.cat([context.to(x0.device), x0], dim=2)
    return inference.pictures(pretrained, x0)


def entropy(maps: Float[Tensor, "*s n"]) -> Float[Tensor, "*s"]:
    """``-sum p log p / log n`` of each map: 1 for a uniform one, 0 for all on one token."""
    shares = maps.double()
    return (-torch.xlogy(shares, shares).sum(dim=-1) / math.log(maps.shape[-1])).float()


def concentration(
    maps: Float[Tensor, "s b k n"], regions: Bool[Tensor, "b n"]
) -> Float[Tensor, "s k"]:
    """How many times more of the reading the regions get than if reading were uniform."""
    areas = regions.double().mean(dim=-1)
    telling = (areas > 0) & (areas < 1)
    shares = torch.einsum("sbkn,bn->sbk", maps.double(), regions.double())
    return (shares / areas[:, None])[:, telling].mean(dim=1).float()


def average(attention: Sequence[Float[Tensor, "b m n"]]) -> Float[Tensor, "b k n"]:
    """Each block's read attention, averaged over its latents."""
    return torch.stack([maps.float().mean(dim=1) for maps in attention], dim=1)


def detailed(images: Float[Tensor, "b c *size"], grid: Sequence[int]) -> Bool[Tensor, "b n"]:
    """Tokens that carry more detail than the mean token of their picture.

    Detail is the deviation of brightness within the patch and one pixel around it.
    """
    brightness = images.mean(dim=1)
    patches = _surroundings(brightness, grid)
    detail = patches.std(dim=-1, correction=0)
    return detail > detail.mean(dim=-1, keepdim=True)


def changing(
    video: Float[Tensor, "b c t h w"], grid: Sequence[int], threshold: float = CHANGE
) -> Bool[Tensor, "b n"]:
    """Tokens in which a pixel differs from the frame before (the first: from the one after).

    Args:
        video: pictures in [0, 1].
        grid: tokens along time, height and width.
        threshold: least difference that counts.
    """
    brightness = video.mean(dim=1)
    steps = brightness.diff(dim=1).abs()
    moved = torch.cat([steps[:, :1], steps], dim=1) > threshold
    t, h, w = (size // count for size, count in zip(moved.shape[1:], grid, strict=True))
    return rearrange(moved, "b (t i) (h j) (w k) -> b (t h w) (i j k)", i=t, j=h, k=w).any(dim=-1)


def _surroundings(values: Float[Tensor, "b *size"], grid: Sequence[int]) -> Float[Tensor, "b n p"]:
    """The values in each token's patch and one beyond, on every side; the border is repeated."""
    padded = values[:, None]
    padding = [1] * (2 * len(grid))
    padded = functional.pad(padded, padding, mode="replicate")[:, 0]
    for axis, (size, count) in enumerate(zip(values.shape[1:], grid, strict=True), start=1):
        padded = padded.unfold(axis, size // count + 2, size // count)
    return padded.flatten(len(grid) + 1).flatten(1, len(grid))

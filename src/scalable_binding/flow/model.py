"""The network: a feature pyramid, steps from coarse to fine, and a head for fractions of a pixel.

Displacements (x, y) at a level are in nodes of that level, those of a whole image in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding import weights as registry
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, read_config, read_tensors, restore
from scalable_binding.errors import UserError
from scalable_binding.flow.matching import global_displacement
from scalable_binding.flow.presets import NUM_LEVELS, STRIDE
from scalable_binding.nn.resnet import PointwiseConv2d
from scalable_binding.walk.multiscale import WindowStep, grid, window_step

FINEST = 4
"""Pixels between the nodes of the finest level."""

ARGUMENTS = ("widths", "width", "radius", "peak", "temperature", "head", "iterations")
"""Of :class:`FlowNet`, as ``config.json`` names them."""

SHIPPED = registry.folder("flow")

Maps = Float[Tensor, "b _ _ _"]
"""Of one level: batch, features, rows, columns."""

Displacements = Float[Tensor, "b 2 _ _"]


@dataclass(frozen=True)
class Stage:
    """A step at a level and the displacements found there.

    Attributes:
        step: of the nodes of the first image into their windows of the second.
        base: displacements that the coarser level expected.
        walked: displacements that the walk expects, in the window around ``base``.
        flow: displacements after the head.
        stride: pixels between nodes.
    """

    step: WindowStep
    base: Displacements
    walked: Displacements
    flow: Displacements
    stride: int


@dataclass(frozen=True)
class Match:
    """What the network finds between two images.

    Attributes:
        flow: displacement (x, y) of every pixel of the first image, in pixels.
        stages: of each step, the coarsest level's first.
    """

    flow: Displacements
    stages: list[Stage]


class FlowNet(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """A multiscale walk from one image to another: ``w_l = up(w_{l+1}) + E[window] + head``.

    The coarsest level compares all nodes with all nodes. Every level then moves a window of its
    features of the second image to where the coarser level expects each node, takes the softmax of
    the similarities in it, and adds the displacement that the walker expects (Eq. 3.1). Nothing of
    the size n x n is made at a fine level.

    The head, one for all levels, sees the similarities in the window, the features and its hidden
    state from the step before, and adds a correction. It starts at zero: an untrained network is
    the plain walk on random features.

    Args:
        widths: channels of the encoder at 1/2, 1/4, 1/8 and 1/16 of the image's size.
        width: dimension of the nodes' features.
        radius: of the windows, in nodes.
        peak: the coarsest displacement is a mean over nodes this near to the likeliest one.
        temperature: of every step.
        head: channels of the head; 0 for none.
        iterations: steps at each level, the coarsest first; each moves the windows to where the
            one before ended.

    Source: Thesis 3.6.1; Bian et al., CVPR 2022.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 96, 128),
        width: int = 64,
        radius: int = 3,
        peak: int = 2,
        temperature: float = 0.07,
        head: int = 64,
        iterations: Sequence[int] = (1,) * NUM_LEVELS,
    ) -> None:
        super().__init__()
        assert len(widths) == NUM_LEVELS + 1 and len(iterations) == NUM_LEVELS
        values = (list(widths), width, radius, peak, temperature, head, list(iterations))
        self.arguments = dict(zip(ARGUMENTS, values, strict=True))
        self.radius = radius
        self.peak = peak
        self.temperature = temperature
        self.iterations = tuple(iterations)
        self.encoder = Pyramid(tuple(widths), width)
        self.head = RefinementHead(width, (2 * radius + 1) ** 2, head) if head else None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def forward(self, first: Float[Tensor, "b 3 h w"], second: Float[Tensor, "b 3 h w"]) -> Match:
        """What moved where from the first images to the second; colors in [0, 1]."""
        return self.match(self.encoder(first), self.encoder(second))

    def match(self, first: Sequence[Maps], second: Sequence[Maps]) -> Match:
        """The same from features of both, the coarsest first."""
        flow = global_displacement(first[0], second[0], self.peak, self.temperature)
        hidden: Maps | None = None
        stages = []
        for level, (a, b) in enumerate(zip(first, second, strict=True)):
            if level:
                flow = 2 * _double(flow)
                hidden = None if hidden is None else _double(hidden)
            for _ in range(self.iterations[level]):
                step, similarities, walked = self._local_step(a, b, flow)
                found = walked
                if self.head is not None:
                    found, hidden = self.head(a, similarities, walked, flow, hidden)
                stages.append(Stage(step, flow, walked, found, FINEST << (NUM_LEVELS - 1 - level)))
                flow = found.detach()
        return Match(self._upsample(FINEST * found, hidden), stages)

    def _local_step(
        self, a: Maps, b: Maps, base: Displacements
    ) -> tuple[WindowStep, Maps, Displacements]:
        """The step into the windows around ``base``, its similarities, and what it expects.

        A node that has gone out of the image stays where it was expected.
        """
        height, width = a.shape[-2:]
        places = grid((height, width), a.device)
        expected = places + rearrange(base.detach().float(), "b xy h w -> b (h w) xy")
        center = expected.round().long()
        step, similarities = window_step(
            _nodes(a), _nodes(b), center, (height, width), self.radius, self.temperature
        )
        gone = (step.center != center).any(dim=-1, keepdim=True)
        place = torch.where(gone, expected, step.expected_place())
        walked = rearrange(place - places, "b (h w) xy -> b xy h w", h=height)
        return step, rearrange(similarities, "b (h w) k -> b k h w", h=height), walked

    def _upsample(self, flow: Displacements, hidden: Maps | None) -> Displacements:
        """Displacements of all pixels: a weighted mean of those of the nine nodes around each."""
        if self.head is None or hidden is None:
            return functional.interpolate(flow, scale_factor=FINEST, mode="bilinear")
        return self.head.upsample(flow, hidden)


class Pyramid(nn.Module):
    """Convolutions shared by all images; unit vectors at 1/16, 1/8 and 1/4 of their size."""

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 7, 2, 3)
        self.norm = _norm(widths[0])
        self.blocks = nn.ModuleList(Block(before, after) for before, after in pairwise(widths))
        self.outputs = nn.ModuleList(nn.Conv2d(after, width, 1) for after in widths[1:])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Maps]:
        """Features, the coarsest first; both sides are multiples of 16, colors in [0, 1]."""
        assert not images.shape[-1] % STRIDE and not images.shape[-2] % STRIDE
        x = torch.relu(self.norm(self.stem(2 * images - 1)))
        levels = []
        for block, output in zip(self.blocks, self.outputs, strict=True):
            x = block(x)
            levels.append(functional.normalize(output(x).float(), dim=1))
        return levels[::-1]


class Block(nn.Module):
    """Two residual pairs of convolutions, the first of stride 2; a norm ends each pair."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.shortcut = PointwiseConv2d(width_in, width, 2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, 3, stride, 1)
            for before, stride in ((width_in, 2), (width, 1), (width, 1), (width, 1))
        )
        self.norms = nn.ModuleList(_norm(width) for _ in range(2))

    def forward(self, x: Maps) -> Maps:
        """Features at half the size."""
        shortcut = self.shortcut(x)
        for number, norm in enumerate(self.norms):
            y = torch.relu(self.convolutions[2 * number](x))
            x = torch.relu(shortcut + norm(self.convolutions[2 * number + 1](y)))
            shortcut = x
        return x


class RefinementHead(nn.Module):
    """Recurrent refinement: corrects displacements by the similarities in their windows.

    One head serves all levels and iterations; its hidden state is passed on between them.

    Args:
        width: dimension of the nodes' features.
        places: of a window.
        channels: of the hidden layers.
    """

    def __init__(self, width: int, places: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        half = (channels + 1) // 2
        self.windows = nn.Conv2d(places, channels, 1)
        self.features = nn.Conv2d(width, half, 1)
        self.hidden = nn.Conv2d(channels, half, 1)
        seen = channels + 2 * half + 2
        self.layers = nn.ModuleList(
            nn.Conv2d(before, channels, 3, padding=reach, dilation=reach)
            for before, reach in ((seen, 1), (channels, 2), (channels, 4), (channels, 1))
        )
        self.correction = nn.Conv2d(channels, 2, 3, padding=1)
        self.weights = nn.Conv2d(channels, 9 * FINEST**2, 1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)  # type: ignore[arg-type]

    def forward(
        self,
        features: Maps,
        similarities: Maps,
        walked: Displacements,
        base: Displacements,
        hidden: Maps | None,
    ) -> tuple[Displacements, Maps]:
        """Corrected displacements, and the hidden state for the next step."""
        if hidden is None:
            b, _, height, width = features.shape
            hidden = features.new_zeros(b, self.channels, height, width)
        seen = [
            torch.relu(self.windows(similarities)),
            torch.relu(self.features(features)),
            torch.relu(self.hidden(hidden)),
            (walked - base).to(similarities.dtype),
        ]
        x = torch.cat(seen, dim=1)
        for number, layer in enumerate(self.layers):
            y = torch.relu(layer(x))
            x = x + y if number else y
        return walked + self.correction(x).float(), x

    def upsample(self, flow: Displacements, hidden: Maps) -> Displacements:
        """Each pixel's displacement, a convex combination of those of the nine nodes around it."""
        weights = rearrange(self.weights(hidden).float(), "b (k p) h w -> b k p h w", k=9)
        height = flow.shape[-2]
        padded = functional.pad(flow.float(), [1] * 4, mode="replicate")
        nearby = rearrange(
            functional.unfold(padded, 3), "b (xy k) (h w) -> b xy k 1 h w", k=9, h=height
        )
        mean = (weights.softmax(dim=1)[:, None] * nearby).sum(dim=2)
        return rearrange(mean, "b xy (p q) h w -> b xy (h p) (w q)", p=FINEST)


def _norm(width: int) -> nn.InstanceNorm2d:
    """Each channel by itself over the image, so that a change of light changes little."""
    return nn.InstanceNorm2d(width, affine=True)


def _nodes(maps: Maps) -> Float[Tensor, "b n d"]:
    return rearrange(maps, "b d h w -> b (h w) d")


def _double(maps: Maps) -> Maps:
    return functional.interpolate(maps.float(), scale_factor=2, mode="bilinear")


def draw(seed: int, **arguments: Any) -> FlowNet:
    """A fresh network with weights drawn from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FlowNet(**arguments)


def arguments(network: FlowNet) -> dict[str, Any]:
    """What :class:`FlowNet` was built with, in plain values for a ``config.json``."""
    return dict(network.arguments)


def load(weights: str | Path, *, seed: int = 0) -> FlowNet:
    """The network that ``--weights`` names, in evaluation mode.

    Args:
        weights: "shipped" (the small network of this package), "random", a run's folder, or its
            ``model.safetensors``, beside which lies ``config.json``.
        seed: of "random".

    Raises:
        UserError: no such file, a corrupt or unsafe one, or another architecture.
    """
    if weights == "random":
        return draw(seed).eval()
    path = SHIPPED if weights == "shipped" else registry.find("flow", weights)
    file = path / WEIGHTS if path.is_dir() else path
    tensors = read_tensors(file)
    found = _read_arguments(file.with_name(CONFIG))
    return restore(partial(draw, 0, **found), tensors, file, "a flow network")


def _read_arguments(path: Path) -> dict[str, Any]:
    """What a run's config says of the network."""
    if not path.is_file():
        raise UserError(f"no settings beside the weights: {path} is missing")
    found = read_config(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} cannot be read (it holds no settings)")
    found = {"iterations": [1] * NUM_LEVELS, **found}  # older runs have one step a level
    missing = [name for name in ARGUMENTS if name not in found]
    if missing:
        raise UserError(f"{path} does not describe a flow network", expected=missing[0], got="none")
    return {name: found[name] for name in ARGUMENTS}

"""The network: an encoder, a spatial memory, and what is read off it in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from scalable_binding.nn.recurrent import ConvGRU
from scalable_binding.nn.resnet import ResNet
from scalable_binding.permanence.presets import STRIDE

_RARE = -3.0
"""The heat-map's first logit: centers are rare."""


@dataclass(frozen=True)
class Readings:
    """What is known in every cell of the memory, in frames t of b clips.

    Attributes:
        nodes: unit vectors that walkers step on.
        heat: logits of there being the center of an object that is to be seen.
        offset: from the middle of the cell to that center, x and y, in cells.
        size: log of the object's width and height, in cells.
        appearance: what the encoder sees there, whatever is remembered.
    """

    nodes: Float[Tensor, "b t d h w"]
    heat: Float[Tensor, "b t h w"]
    offset: Float[Tensor, "b t 2 h w"]
    size: Float[Tensor, "b t 2 h w"]
    appearance: Float[Tensor, "b t c h w"]


class SpatialMemory(nn.Module, PyTorchModelHubMixin, library_name="scalable-binding"):
    """``M_t = ConvGRU(encoder(I_t), M_t-1)``, ``Q_t = project(M_t) / |project(M_t)|``.

    Walkers step from cell to cell along Q; a head reads centers, offsets and sizes of visible
    objects off M. ``visibility`` compares the appearance at a place with that it had at first.

    Args:
        widths, blocks: of the encoder, a ResNet of stride 4.
        width: channels of the memory; ``kernel``: of its convolutions.
        node_width: dimension of Q.
        memory: False leaves out the GRU: M_t is a function of I_t alone.
        reach: farthest step of a walker, as a share of the shorter side.
        temperature: of each step.
        side: shorter side of the frames trained on, in pixels.

    Source: Thesis 3.6.2; Tokmakov et al., ICML 2022, section 3.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 48),
        blocks: int = 1,
        width: int = 48,
        kernel: int = 3,
        node_width: int = 32,
        memory: bool = True,
        reach: float = 0.2,
        temperature: float = 0.1,
        side: int = 64,
    ) -> None:
        super().__init__()
        widths = tuple(widths)
        self.arguments: dict[str, Any] = {
            "widths": list(widths),
            "blocks": blocks,
            "width": width,
            "kernel": kernel,
            "node_width": node_width,
            "memory": memory,
            "reach": reach,
            "temperature": temperature,
            "side": side,
        }
        self.reach = reach
        self.temperature = temperature
        self.side = side
        self.encoder = ResNet(widths, (1,) * len(widths), blocks)
        self.recurrent = ConvGRU(widths[-1], width, kernel) if memory else None
        width = width if memory else widths[-1]
        self.project = nn.Sequential(
            nn.Conv2d(width, node_width, 1, bias=False), nn.BatchNorm2d(node_width)
        )
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 5, 1)
        )
        self.visibility = nn.Sequential(nn.Linear(3 * widths[-1], 64), nn.ReLU(), nn.Linear(64, 1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.bias)
        nn.init.constant_(last.bias[:1], _RARE)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.encoder.conv1.weight.device

    def radius(self, height: int, width: int) -> int:
        """The farthest step of a walker in cells, on a map of this size."""
        return max(1, round(self.reach * min(height, width)))

    def forward(self, frames: UInt8[Tensor, "b t 3 y x"]) -> Readings:
        """The readings of clips that begin with an empty memory; sides are multiples of 4."""
        b = len(frames)
        appearance = self._see(rearrange(frames, "b t c y x -> (b t) c y x"))
        states = appearance
        if self.recurrent is not None:
            seen = rearrange(appearance, "(b t) c h w -> t b c h w", b=b)
            state, remembered = self.recurrent.start(seen[0]), []
            for look in seen:
                state = self.recurrent(look, state)
                remembered.append(state)
            states = rearrange(remembered, "t b c h w -> (b t) c h w")
        return self._read(appearance, states, b)

    def step(
        self, frame: UInt8[Tensor, "3 y x"], state: Float[Tensor, "1 c h w"] | None
    ) -> tuple[Readings, Float[Tensor, "1 c h w"]]:
        """The readings of the next frame of a video (b = t = 1), and the memory after it.

        ``state`` is what the step before gave, None for the first frame.
        """
        appearance = self._see(frame.unsqueeze(0))
        state_now = appearance
        if self.recurrent is not None:
            state_now = self.recurrent(
                appearance, self.recurrent.start(appearance) if state is None else state
            )
        return self._read(appearance, state_now, 1), state_now

    def compare(
        self, before: Float[Tensor, "*s c"], now: Float[Tensor, "*s c"]
    ) -> Float[Tensor, "*s"]:
        """Logits of seeing the same thing: an object that looked like this, and what is there."""
        return self.visibility(torch.cat([before, now, before * now], dim=-1)).squeeze(-1)

    def _see(self, frames: UInt8[Tensor, "n 3 y x"]) -> Float[Tensor, "n c h w"]:
        colors = frames.to(self.device).float() / 127.5 - 1
        seen: Tensor = self.encoder(colors.contiguous(memory_format=torch.channels_last))
        return seen

    def _read(
        self, appearance: Float[Tensor, "n c h w"], states: Float[Tensor, "n m h w"], b: int
    ) -> Readings:
        nodes = functional.normalize(self.project(states).float(), dim=1)
        found = self.head(states).float()
        nodes, found, appearance = (
            rearrange(maps, "(b t) c h w -> b t c h w", b=b) for maps in (nodes, found, appearance)
        )
        return Readings(
            nodes=nodes,
            heat=found[:, :, 0],
            offset=found[:, :, 1:3],
            size=found[:, :, 3:],
            appearance=appearance.float(),
        )


def cells(pixels: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Positions in cells (0 is the middle of the first) of positions in pixels."""
    return (pixels + 0.5) / STRIDE - 0.5


def pixels(cells: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Positions in pixels of positions in cells."""
    return (cells + 0.5) * STRIDE - 0.5


def draw(seed: int, **arguments: Any) -> SpatialMemory:
    """A fresh network with weights drawn from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SpatialMemory(**arguments)

"""Settings of the walk: patches or cells as nodes, and the steps between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scalable_binding.errors import UserError

STRIDE = 8
"""Pixels between neighboring cells of the thesis' feature maps."""


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Patches on a grid as nodes; the thesis' values (3.7.5), frame crops as in the authors' code.

    Args:
        frame_size: side of the square that each frame becomes, in pixels.
        size, stride: of the patches on that square, in pixels; 64 and 32 make 7 x 7 nodes.
        frame_scale, frame_ratio: area and aspect of each frame's own random crop.
        jitter_scale, jitter_ratio: area and aspect of each patch's own random crop.
    """

    frame_size: int = 256
    size: int = 64
    stride: int = 32
    frame_scale: tuple[float, float] = (0.8, 0.95)
    frame_ratio: tuple[float, float] = (0.7, 1.3)
    jitter_scale: tuple[float, float] = (0.7, 0.9)
    jitter_ratio: tuple[float, float] = (0.7, 1.3)

    def __post_init__(self) -> None:
        if not 0 < self.size <= self.frame_size:
            expected = f"1 to frame_size {self.frame_size}"
            raise UserError("patches.size", expected=expected, got=str(self.size))
        if self.stride < 1:
            raise UserError("patches.stride", expected="at least 1", got=str(self.stride))
        for name in ("frame_scale", "frame_ratio", "jitter_scale", "jitter_ratio"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(f"patches.{name}", expected="0 < low <= high", got=f"{low}, {high}")

    @property
    def grid(self) -> int:
        """Nodes along a side."""
        return (self.frame_size - self.size) // self.stride + 1


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """Cells of one feature map as nodes, on views that move from frame to frame.

    With ``shift``, ``scale`` and ``color`` at 0 this is the variant of thesis 3.7.3, in which the
    network learns to know a cell by its place relative to the border. Moving every view by its own
    offset takes that shortcut away: home is then where the *content* lies in another view of the
    first frame.

    Args:
        size: side of a view, in pixels; ``(size / 8)^2`` nodes.
        shift: largest offset of a view from the clip's common center, in pixels.
        scale: views are zoomed by a factor in ``exp(+-scale)``.
        color: strength of the change of brightness, contrast and tint of each view.
    """

    size: int = 128
    shift: float = 24.0
    scale: float = 0.2
    color: float = 0.3

    def __post_init__(self) -> None:
        if self.size < STRIDE or self.size % STRIDE:
            expected = f"a multiple of {STRIDE}"
            raise UserError("views.size", expected=expected, got=str(self.size))
        for name in ("shift", "scale", "color"):
            value = getattr(self, name)
            if value < 0:
                raise UserError(f"views.{name}", expected="at least 0", got=str(value))


@dataclass(frozen=True, kw_only=True)
class WalkConfig:
    """Nodes and walks.

    Args:
        nodes: "patches", each encoded by itself (the thesis), or "cells" of one feature map of
            moved views (no pixel is encoded twice, at the price of seeing past a patch's border).
        patches: used when nodes are patches.
        views: used when nodes are cells.
        temperature: of each step (Eq. 3.1).
        edge_dropout: rate of edges removed, in each direction by itself (3.2.2).
        direct_weight: weight of the walk of one step between two views of the first frame, whose
            end is known by construction (Eq. 3.3); only where nodes are cells.
    """

    nodes: Literal["patches", "cells"] = "patches"
    patches: PatchConfig = field(default_factory=PatchConfig)
    views: ViewConfig = field(default_factory=ViewConfig)
    temperature: float = 0.07
    edge_dropout: float = 0.1
    direct_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.nodes not in ("patches", "cells"):
            raise UserError("walk.nodes", expected="patches or cells", got=str(self.nodes))
        if not self.temperature > 0:
            got = str(self.temperature)
            raise UserError("walk.temperature", expected="a number above 0", got=got)
        if not 0 <= self.edge_dropout < 1:
            got = str(self.edge_dropout)
            raise UserError("walk.edge_dropout", expected="a rate in [0, 1)", got=got)
        if self.direct_weight < 0:
            got = str(self.direct_weight)
            raise UserError("walk.direct_weight", expected="at least 0", got=got)

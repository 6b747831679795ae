"""Settings of the dense walk. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scalable_binding.errors import require, require_least, require_one_of


@dataclass(frozen=True, kw_only=True)
class DenseWalkConfig:
    """The dense walk: regions of the feature maps of moved views are nodes.

    Args:
        max_gap: frames of a clip are 1 to this many frames of ``clips.fps`` apart.
        length_cap: a video is drawn in proportion to its frames, up to this many.
        root_power: folders of videos are drawn in proportion to their frames to this power: 1
            makes all frames equal, 0 all folders.
        view: side of a view, in pixels.
        zoom: a clip's windows have ``view`` times e^(+-log zoom) pixels' side in the video.
        shift: each window moves by up to this share of its side.
        scale, aspect: factors, e^(+-scale) and e^(+-aspect), by which each window changes.
        color: strength of each view's change of brightness, contrast and tint.
        pool: cells of the feature map along a side of a node.
        starts: walkers a clip, from nodes whose place lies in the view that they walk home to.
        temperature: of each step (Eq. 3.1).
        edge_dropout: rate of edges removed in each step (3.2.2).
        graph: "batch" makes the nodes of all clips one graph, so that a walker may get lost in
            another clip; "clip" keeps each clip to itself.
        home: walkers come home into "another" view of the first frame, or into the "same" one,
            which teaches the place in the picture instead of its content (3.7.3).
    """

    max_gap: int = 3
    length_cap: int = 120
    root_power: float = 0.5
    view: int = 192
    zoom: float = 1.25
    shift: float = 0.12
    scale: float = 0.12
    aspect: float = 0.08
    color: float = 0.0
    pool: int = 3
    starts: int = 48
    temperature: float = 0.05
    edge_dropout: float = 0.0
    graph: Literal["batch", "clip"] = "batch"
    home: Literal["another", "same"] = "another"

    def __post_init__(self) -> None:
        for name in ("max_gap", "length_cap", "view", "pool", "starts"):
            require_least(f"dense.{name}", getattr(self, name), 1)
        for name in ("root_power", "shift", "scale", "aspect", "color"):
            value = getattr(self, name)
            require(f"dense.{name}", value, value >= 0, "a number of at least 0")
        require("dense.zoom", self.zoom, self.zoom >= 1, "a factor of at least 1")
        require("dense.temperature", self.temperature, self.temperature > 0, "a number above 0")
        rate = self.edge_dropout
        require("dense.edge_dropout", rate, 0 <= rate < 1, "a rate in [0, 1)")
        require_one_of("dense.graph", self.graph, ("batch", "clip"))
        require_one_of("dense.home", self.home, ("another", "same"))

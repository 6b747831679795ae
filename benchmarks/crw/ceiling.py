"""What label propagation could reach with features without a fault, on the synthetic scenes.

    python -m benchmarks.crw.ceiling [--zoom 1] [--scenes 0 1 2 ...] [--json FILE]

Features are made from the truth of a scene: a code for the surface that the center of a cell shows,
and waves over the place on that surface, so that similar is only what is the same place or next to
it. What is lost all the same is lost to the size of cells and to the way labels are read.
Not run by make bench: half a minute a scene on one CPU core, six times that with --zoom 2.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks import timing
from scalable_binding.crw.benchmarks import BENCHMARKS, NUM_SCENES, scene, scene_recipe
from scalable_binding.crw.evaluate import score, summarize
from scalable_binding.crw.walk_config import STRIDE
from scalable_binding.data.synthetic.painting import first_surfaces, surface_at
from scalable_binding.data.synthetic.world import World, build, place
from scalable_binding.engine.config import override

NUM_WAVES = 48
WAVES_A_PIXEL = 0.06
"""Deviation of the waves' frequencies, in radians a pixel: similarity fades within a few cells."""


class Truth:
    """A model that knows, frame after frame, which place of which surface a cell shows."""

    stride = STRIDE

    def __init__(self, world: World, zoom: float) -> None:
        self.placements = place(world, world.times)
        self.cell = STRIDE / zoom
        self.frame = 0
        generator = torch.Generator().manual_seed(0)
        self.waves = WAVES_A_PIXEL * torch.randn(2, NUM_WAVES, generator=generator).double()
        num = sum(len(placement.body.parts) for placement in self.placements)
        signs = torch.randint(0, 2, (num, 2 * NUM_WAVES), generator=generator)
        self.codes = 2.0 * signs.double() - 1

    def features(self, frame: Tensor) -> Tensor:
        """Return the unit vectors of the next frame's cells; a picture counts by its size only."""
        rows, columns = (
            (torch.arange(-(-side // STRIDE)).double() + 0.5) * self.cell - 0.5
            for side in frame.shape[1:]
        )
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        shown = surface_at(self.placements, self.frame, (x, y))
        found = torch.zeros(*shown.shape, 2 * NUM_WAVES, dtype=torch.float64)
        firsts = first_surfaces(self.placements)
        for placement, first in zip(self.placements, firsts, strict=True):
            for part in range(len(placement.body.parts)):
                here = shown == first + part
                bent = placement.onto_body(self.frame, (x[here], y[here]))
                places = torch.stack(placement.onto_part(part, self.frame, bent), dim=-1)
                phases = placement.scale[0] * places @ self.waves
                waves = torch.cat((phases.cos(), phases.sin()), dim=-1)
                found[here] = waves * self.codes[first + part]
        self.frame += 1
        return normalize(found, dim=-1).permute(2, 0, 1).float()


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--zoom", type=float, default=1.0)
    options.add_argument("--scenes", type=int, nargs="+", default=[*range(NUM_SCENES)])
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    protocol = BENCHMARKS["synthetic"]
    config = override(protocol.propagation, {"zoom": asked.zoom})
    evidence: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number in asked.scenes:
        name = f"scene-{number}"
        truth = Truth(build(*scene_recipe(name)), asked.zoom)
        evidence.append(score(scene(Path(), name), truth, config)["evidence"])
        found = summarize([evidence[-1]], protocol.kinds)
        rows.append({"scene": number} | {name: f"{value:.3f}" for name, value in found.items()})
        print(rows[-1], flush=True)
    overall = summarize(evidence, protocol.kinds)
    rows.append({"scene": "all"} | {name: f"{value:.3f}" for name, value in overall.items()})
    timing.report(rows, {"zoom": asked.zoom, **timing.conditions()}, asked.json)


if __name__ == "__main__":
    main()

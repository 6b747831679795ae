"""End-point errors of the multiscale walk beside other ways, on pairs whose truth is exact.

    python -m benchmarks.flow.accuracy [--pairs 16] [--frames FOLDER] [--weights shipped] [--json F]

The claim: on scenes of the synthetic world whose textures no training showed, at most half of zero
flow's error, and clearly less than untrained features, a brute-force patch matcher and the walk of
one scale. About three minutes, most of them the patch matcher's.

With --frames, a folder of folders of frames, such as DAVIS' JPEGImages/480p, there are two more
tables. *Warped*: a frame of each folder, moved by a known smooth warp (sums of sine waves, a turn
and a zoom), light and noise changed; exact truth on real pictures. *Real*: two neighboring frames;
no truth, so only what every flow should do: come back (the share of pixels whose way there and back
ends within a pixel), and explain the picture (mean difference of color, 0 to 255, of what it
brings together, over the pixels that it brings back).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import timing
from benchmarks.flow.contestants import Matchers, peers, walks, zero
from scalable_binding.data.frames import images
from scalable_binding.data.synthetic.config import training
from scalable_binding.flow import model
from scalable_binding.flow.benchmarks import SYNTHETIC_SEED, Example, synthetic_pair
from scalable_binding.flow.occlusion import is_hidden, way_back
from scalable_binding.metrics import flow as metrics

REACH = 24
SIZE = 384


def synthetic(pairs: int) -> Iterator[Example]:
    """Yield the first pairs of the benchmark "synthetic"."""
    world = replace(training(size=256, num_frames=2), split="held_out")
    return (synthetic_pair(world, SYNTHETIC_SEED, number) for number in range(pairs))


def warped(folders: list[Path]) -> Iterator[Example]:
    """Yield the middle of a frame of each folder, as it is and moved by a known warp."""
    for number, folder in enumerate(folders):
        rng = np.random.default_rng(number)
        frame = images.read(images.list_frames(folder)[0])
        top, left = ((side - SIZE) // 2 for side in frame.shape[1:])
        y, x = torch.meshgrid(*[torch.arange(SIZE, dtype=torch.float32)] * 2, indexing="ij")
        flow = _smooth_warp(x, y, rng)
        place = torch.stack([x + flow[0] + left, y + flow[1] + top], dim=-1)
        sides = torch.tensor([frame.shape[2], frame.shape[1]])
        first = functional.grid_sample(
            frame[None].float(), ((2 * place + 1) / sides - 1)[None], align_corners=False
        )[0]
        noise = torch.from_numpy(rng.normal(0, 3, first.shape)).float()
        first = (first * rng.uniform(0.85, 1.15) + noise).round().clamp(0, 255).byte()
        second = frame[:, top : top + SIZE, left : left + SIZE].contiguous()
        inside = _inside(torch.stack([x + flow[0], y + flow[1]]))
        yield Example(folder.name, first, second, flow, torch.ones_like(inside), inside)


def _smooth_warp(x: Tensor, y: Tensor, rng: np.random.Generator) -> Tensor:
    middle = (SIZE - 1) / 2
    turn, zoom = rng.uniform(-0.05, 0.05, size=2)
    shift = rng.uniform(-12, 12, size=2)
    flow = [
        zoom * (x - middle) - turn * (y - middle) + shift[0],
        turn * (x - middle) + zoom * (y - middle) + shift[1],
    ]
    for axis in range(2):
        for _ in range(3):
            waves = rng.uniform(-2, 2, size=2) * 2 * math.pi / SIZE
            wave = torch.sin(float(waves[0]) * x + float(waves[1]) * y + rng.uniform(0, 6.3))
            flow[axis] = flow[axis] + rng.uniform(0, 3) * wave
    return torch.stack(flow)


def _inside(place: Tensor) -> Tensor:
    sides = torch.tensor([place.shape[-1], place.shape[-2]])[:, None, None]
    return ((place >= 0) & (place <= sides - 1)).all(dim=0)


def score(examples: list[Example], matchers: Matchers) -> list[dict[str, Any]]:
    """Return a row of pooled errors for each way, and the CPU seconds it takes a pair."""
    rows = []
    for name, match in matchers.items():
        start = time.process_time()
        found = [match(one.first, one.second) for one in examples]
        seconds = (time.process_time() - start) / len(examples)
        tallies = [
            metrics.tally(flow, one.flow, one.known, one.visible)
            for flow, one in zip(found, examples, strict=True)
        ]
        scores = metrics.pooled(tallies)
        rows.append(
            {
                "": name,
                "EPE": f"{scores['epe']:.2f}",
                "matched": f"{scores['epe_matched']:.2f}",
                "F1 %": f"{100 * scores['f1']:.1f}",
                "CPU s": f"{seconds:.2f}",
            }
        )
    return rows


def agree(folders: list[Path], matchers: Matchers) -> list[dict[str, Any]]:
    """Return, for neighboring real frames, what comes back and how well colors agree."""
    pairs = []
    for folder in folders:
        listed = images.list_frames(folder)
        pairs.append([images.read(path) for path in listed[len(listed) // 2 :][:2]])
    rows = []
    for name, match in matchers.items():
        home, miss = [], []
        for first, second in pairs:
            there, back = match(first, second)[None], match(second, first)[None]
            away = (there + way_back(there, back)).norm(dim=1)
            seen = ~is_hidden(there, back)[0]
            moved = way_back(there, second[None].float())[0]
            home.append(float((away < 1).float().mean()))
            miss.append(float((moved - first).abs().mean(dim=0)[seen].mean()))
        rows.append(
            {
                "": name,
                "back within 1 px": f"{sum(home) / len(home):.3f}",
                "color": f"{sum(miss) / len(miss):.2f}",
            }
        )
    return rows


def main() -> None:
    parser = timing.parser(__doc__, rounds=1)
    parser.add_argument("--pairs", type=int, default=16, help="of the synthetic world")
    parser.add_argument("--frames", type=Path, help="folder of folders of real frames")
    parser.add_argument("--weights", default="shipped")
    parser.add_argument("--reach", type=int, default=REACH, help="pixels the patch matcher looks")
    chosen = parser.parse_args()
    net = model.load(chosen.weights)
    fresh = model.draw(0, **net.arguments).eval()
    ways = {"zero flow": zero, **walks(net, fresh), **peers(chosen.reach)}
    tables = {"synthetic": score(list(synthetic(chosen.pairs)), ways)}
    if chosen.frames is not None:
        folders = sorted(path for path in chosen.frames.iterdir() if path.is_dir())
        plain = {name: way for name, way in ways.items() if "patch" not in name}
        tables["warped"] = score(list(warped(folders)), plain)
        real = {name: way for name, way in plain.items() if "own features" not in name}
        tables["real"] = agree(folders, real)
    rows = []
    for name, table in tables.items():
        print(f"\n{name}")
        timing.report(table, {}, None)
        rows += [{"table": name, **row} for row in table]
    timing.report([], timing.conditions(), None)
    if chosen.json is not None:
        timing.report(rows, timing.conditions(), chosen.json)


if __name__ == "__main__":
    main()

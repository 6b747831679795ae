"""Peak memory of label propagation at 480 x 854: it must not grow with the length of the video.

    python -m benchmarks.crw.memory [--frames 30 60]

Two minutes, and some ten with --frames 60 300. The claim: under 1.5 GB at any length, torch, the
encoder and the context of 20 frames included. One process carries four objects through one video
and notes its largest memory so far after each of the given numbers of frames; a shorter video would
have needed just that.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import timing
from scalable_binding.crw import model
from scalable_binding.crw.inference import propagate

LIMIT = 1.5e3
"""Megabytes."""


def camera(height: int, width: int) -> Iterator[Tensor]:
    """Yield frames without end, of a coarse pattern that moves by three pixels a frame."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 16 + 1, width // 16 + 1, generator=generator)
    scene = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")[0]
    frame = (255 * scene).byte()
    while True:
        yield frame
        frame = frame.roll(3, dims=2)


def quarters(height: int, width: int) -> Tensor:
    """Return a mask of four objects."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ids = 1 + 2 * (2 * y >= height) + (2 * x >= width)
    return ids.to(torch.uint8)


def peak() -> float:
    """Return the largest memory of this process so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[30, 60])
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--weights", default="random")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    size = (arguments.height, arguments.width)
    frames = islice(camera(*size), max(arguments.frames))
    rows: list[dict[str, Any]] = []
    start = time.perf_counter()
    for prediction in propagate(frames, quarters(*size), model.load(arguments.weights)):
        done = prediction.frame + 1
        if done in arguments.frames:
            seconds = (time.perf_counter() - start) / done
            rows.append({"frames": done, "peak MB": round(peak()), "s a frame": seconds})
    facts = {"grown_by_MB": rows[-1]["peak MB"] - rows[0]["peak MB"], **timing.conditions()}
    timing.report(rows, facts, arguments.json)
    if rows[-1]["peak MB"] > LIMIT:
        sys.exit(f"more than {LIMIT:.0f} MB")


if __name__ == "__main__":
    main()

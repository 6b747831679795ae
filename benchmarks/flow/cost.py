"""Time and memory of flow as frames grow to 1024 x 448, beside full attention.

    python -m benchmarks.flow.cost [--rounds 3] [--clock cpu] [--picture FILE] [--json FILE]

About a minute. The claim: time and memory of the multiscale walk grow linearly with the number of
pixels (from the second smallest to the largest frame, not more than twice as fast as the pixels),
and those of full attention between the same finest features with the square of it.

Every measurement is a process of its own that finds the flow of a pair both ways; its memory is the
most it ever held, less what it held with network and frames alone. Full attention is left out where
its table of all pairs would take more than ``--most`` gigabytes.
"""

from __future__ import annotations

import gc
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from scalable_binding.flow import model
from scalable_binding.flow.inference import encode, estimate
from scalable_binding.flow.model import FINEST
from scalable_binding.plots.curves import Curve, Panel, save
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.multiscale import grid

SIZES = ((112, 256), (160, 368), (224, 512), (320, 736), (448, 1024))
WAYS = ("multiscale walk", "full attention")


def measure(way: str, height: int, width: int, clock: str) -> tuple[float, float]:
    """Return seconds, and megabytes beyond those of the network and the frames, of one pair."""
    net = model.draw(0).eval()
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)
    estimate(frames[0, :, :64, :64], frames[1, :, :64, :64], net)  # libraries warm up
    gc.collect()
    before, start = _peak(), timing.CLOCKS[clock]()
    if way == "multiscale walk":
        estimate(frames[0], frames[1], net)
    else:
        with torch.no_grad():
            a, b = (encode(frame, net).features[-1].flatten(2).mT for frame in frames)
            places = grid((height // FINEST, width // FINEST)).float()
            table = similarity(a, b)
            for steps in (table, table.mT):
                transition(steps, net.temperature) @ places
    return timing.CLOCKS[clock]() - start, _peak() - before


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _in_a_process(way: str, height: int, width: int, clock: str) -> tuple[float, float]:
    call = [sys.executable, "-m", "benchmarks.flow.cost", "--measure", way, str(height), str(width)]
    shown = subprocess.run(
        [*call, "--clock", clock], capture_output=True, text=True, check=True, cwd=timing.ROOT
    ).stdout.split()
    return float(shown[-2]), float(shown[-1])


def compare(rounds: int, clock: str, most: float) -> list[dict[str, Any]]:
    """Return a row for each size and way: medians of seconds and megabytes."""
    rows = []
    for height, width in SIZES:
        for way in WAYS:
            gigabytes = 2 * 4 * (height * width / FINEST**2) ** 2 / 1e9
            if way == "full attention" and gigabytes > most:
                rows.append(_row(height, width, way, None, None))
                continue
            found = [_in_a_process(way, height, width, clock) for _ in range(rounds)]
            seconds, megabytes = (statistics.median(column) for column in zip(*found, strict=True))
            rows.append(_row(height, width, way, seconds, megabytes))
    return rows


def _row(
    height: int, width: int, way: str, seconds: float | None, megabytes: float | None
) -> dict[str, Any]:
    return {
        "size": f"{width} x {height}",
        "pixels": height * width,
        "way": way,
        "seconds": "left out" if seconds is None else round(seconds, 3),
        "MB": "left out" if megabytes is None else round(megabytes, 1),
    }


def growth(rows: list[dict[str, Any]], way: str, what: str) -> float:
    """Return how much faster than the pixels a cost grows, from the second size to the last."""
    own = [row for row in rows if row["way"] == way and row[what] != "left out"]
    first, last = own[1], own[-1]
    return float(last[what] / first[what] * first["pixels"] / last["pixels"])


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw time and memory over pixels, both axes logarithmic."""
    panels = []
    for what in ("seconds", "MB"):
        curves = []
        for way in WAYS:
            own = [row for row in rows if row["way"] == way and row[what] != "left out"]
            x, y = [row["pixels"] for row in own], [row[what] for row in own]
            curves.append(Curve(label=way, x=x, y=y))
        panels.append(Panel(curves=curves, x_label="pixels", y_label=what, log_x=True, log_y=True))
    save(path, panels)


def main() -> None:
    parser = timing.parser(__doc__, rounds=3)
    parser.add_argument("--most", type=float, default=2.0, help="gigabytes of full attention")
    parser.add_argument("--picture", type=Path, help="draw the curves to this file")
    parser.add_argument("--measure", nargs=3, metavar=("WAY", "HEIGHT", "WIDTH"))
    chosen = parser.parse_args()
    if chosen.measure:
        way, height, width = chosen.measure
        print(*measure(way, int(height), int(width), chosen.clock))
        return
    start = time.perf_counter()
    rows = compare(chosen.rounds, chosen.clock, chosen.most)
    facts: dict[str, object] = {
        f"growth of {what}, {way}": f"{growth(rows, way, what):.2f} times that of the pixels"
        for way in WAYS
        for what in ("seconds", "MB")
    }
    facts |= {"minutes": round((time.perf_counter() - start) / 60, 1), **timing.conditions()}
    timing.report(rows, facts, chosen.json)
    if chosen.picture is not None:
        draw(rows, chosen.picture)


if __name__ == "__main__":
    main()

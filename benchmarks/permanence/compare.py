"""Score trackers of several seeds beside what needs no learning.

    python -m benchmarks.permanence.compare DIR [--num 16] [--json FILE]

Not run by make bench. DIR is what ``benchmarks.permanence.train`` wrote. Games and textures are
none of training's. Means over the seeds, and the range over them, of the distance in pixels and of
the overlap (IoU).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

from benchmarks import timing
from scalable_binding.permanence.evaluate import evaluate, synthetic_cases
from scalable_binding.permanence.inference import load

STATES = ("visible", "occluded", "contained", "carried", "hidden")


def cell(values: list[float], digits: int) -> str:
    if max(values) - min(values) < 10**-digits / 2:
        return f"{values[0]:.{digits}f}"
    low, high = min(values), max(values)
    return f"{statistics.mean(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--num", type=int, default=16, help="games of each kind")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    seeds = sorted(int(run.name.split("-")[1]) for run in chosen.runs.glob("memory-*"))
    begin = time.process_time()
    cases = list(synthetic_cases(chosen.num, size=load(chosen.runs / f"memory-{seeds[0]}").side))
    found = {}
    for seed in seeds:
        plain = chosen.runs / f"memoryless-{seed}"
        memoryless = plain if plain.is_dir() else None
        found[seed] = evaluate(chosen.runs / f"memory-{seed}", cases, memoryless=memoryless)
    names = list(found[seeds[0]]["scores"])
    for measure, digits in (("distance", 2), ("overlap", 3)):
        print(f"\n{measure}, {len(cases)} clips, seeds {seeds}\n")
        print(f"| | {' | '.join(STATES)} |\n|{'---|' * (len(STATES) + 1)}")
        for name in names:
            scores = [
                r["scores"][name][measure]["all"] for r in found.values() if name in r["scores"]
            ]
            row = [cell([one[state] for one in scores], digits) for state in STATES]
            print(f"| {name} | {' | '.join(row)} |")
    print(f"\n{time.process_time() - begin:.0f} s of CPU; {timing.conditions()}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

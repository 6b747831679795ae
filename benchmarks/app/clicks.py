"""Clicks that a mask takes: simulated on the first frames of DAVIS sequences.

    python -m benchmarks.app.clicks DAVIS [--limit 10] [--frame 0] [--json FILE]

DAVIS is a folder with JPEGImages/480p and Annotations/480p. A simulated user clicks in the middle
of the largest wrong region, looks at the new mask, and clicks again. "to .80" counts clicks until
J is .80 (the limit where it never is); "worse" counts clicks after which J fell by more than .01.
Not run by make bench: needs DAVIS.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.app import davis
from scalable_binding.app.session import Session

GOAL = 0.80
CLICKS = 5
"""In the mean, to reach the goal."""

FALL = 0.01


def label(sequence: davis.Sequence, frame: int, limit: int) -> tuple[list[float], list[float]]:
    """J after each click, and the seconds that each took once features were there."""
    truth = sequence.truth(frame)
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(sequence.frames, Path(folder) / "project") as session,
    ):
        thing = session.add_object()
        session.labels.features.features(session.frames.read_carried(frame))
        found = session.mask(frame, thing.id)
        scores, seconds = [], []
        for _ in range(limit):
            x, y, is_on = davis.next_click(found, truth)
            start = time.perf_counter()
            found = session.click(frame, thing.id, x, y, positive=is_on)
            seconds.append(time.perf_counter() - start)
            scores.append(davis.region(found, truth))
    return scores, seconds


def row(name: str, scores: list[float]) -> dict[str, Any]:
    """What the table says of a sequence."""
    reached = [number for number, score in enumerate(scores, 1) if score >= GOAL]
    falls = sum(later < score - FALL for score, later in pairwise(scores))
    cells = {f"J after {n}": f"{scores[n - 1]:.3f}" for n in (1, 2, 3, 5, 10) if n <= len(scores)}
    return {"": name, f"to {GOAL:.2f}": reached[0] if reached else len(scores), "worse": falls} | {
        "reached": "yes" if reached else "no",
        **cells,
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("davis", type=Path)
    options.add_argument("--limit", type=int, default=10)
    options.add_argument("--frame", type=int, default=0)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    rows, curves, seconds = [], [], []
    for sequence in davis.sequences(given.davis):
        scores, took = label(sequence, given.frame, given.limit)
        rows.append(row(sequence.name, scores))
        curves.append(scores)
        seconds += took
        print(sequence.name, " ".join(f"{score:.2f}" for score in scores), flush=True)
    means = [statistics.fmean(each) for each in zip(*curves, strict=True)]
    clicks = statistics.fmean(each[f"to {GOAL:.2f}"] for each in rows)
    rows.append(row("mean", means) | {f"to {GOAL:.2f}": f"{clicks:.2f}", "reached": ""})
    rows[-1]["worse"] = sum(each["worse"] for each in rows[:-1])
    facts: dict[str, object] = timing.conditions()
    facts["seconds of a click, median and longest"] = (
        f"{statistics.median(seconds):.2f}, {max(seconds):.2f}"
    )
    facts["goal"] = f"{CLICKS} clicks in the mean: {'met' if clicks <= CLICKS else 'missed'}"
    timing.report(rows, facts, given.json)


if __name__ == "__main__":
    main()

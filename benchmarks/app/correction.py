"""What one corrected frame is worth: J&F of the other frames before and after it.

    python -m benchmarks.app.correction DAVIS [--frames 40] [--json FILE]

The true mask of the first frame is propagated forward; then the true mask of the middle frame is
given, and what depends on it is made again. J&F is the mean over all frames but the first and the
middle one. Not run by make bench: needs DAVIS.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from benchmarks.app import davis
from scalable_binding.app.session import Session
from scalable_binding.metrics.segmentation import boundary_accuracy, region_similarity


def score(session: Session, sequence: davis.Sequence, frames: list[int], thing: int) -> float:
    """J&F in per cent, the mean over frames."""
    found = []
    for frame in frames:
        mask = torch.from_numpy(session.mask(frame, thing))
        truth = torch.from_numpy(sequence.truth(frame))
        found += [region_similarity(mask, truth), boundary_accuracy(mask, truth)]
    return 100 * statistics.fmean(found)


def compare(sequence: davis.Sequence, limit: int | None) -> dict[str, Any]:
    """J&F of a sequence with one labeled frame and with two."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(sequence.frames, Path(folder) / "project") as session,
    ):
        count = min(session.frames.num_frames, limit or session.frames.num_frames)
        middle = count // 2
        others = [frame for frame in range(1, count) if frame != middle]
        before, after = others[: middle - 1], others[middle - 1 :]
        thing = session.add_object().id
        session.set_mask(0, thing, sequence.truth(0))
        for _ in session.propagate("forward", frames=range(count)):
            pass
        one = [score(session, sequence, part, thing) for part in (others, before, after)]
        made = sum(1 for _ in session.correct(middle, thing, sequence.truth(middle)))
        two = [score(session, sequence, part, thing) for part in (others, before, after)]
    names = ("J&F", "before the middle", "after it")
    cells = {
        name: f"{old:.1f} -> {new:.1f}" for name, old, new in zip(names, one, two, strict=True)
    }
    gain = two[0] - one[0]
    return {"": sequence.name, "frames": count, **cells, "gain": round(gain, 1), "made again": made}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("davis", type=Path)
    options.add_argument("--frames", type=int, help="of each sequence, at most")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    rows = []
    for sequence in davis.sequences(given.davis):
        rows.append(compare(sequence, given.frames))
        print(rows[-1], flush=True)
    facts: dict[str, object] = timing.conditions()
    facts["mean gain in points of J&F"] = f"{statistics.fmean(row['gain'] for row in rows):.1f}"
    timing.report(rows, facts, given.json)


if __name__ == "__main__":
    main()

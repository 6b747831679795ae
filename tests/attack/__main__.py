"""``make attack``: kills, flipped bytes, damaged inputs and odd command lines, all from one seed.

``python -m attack [--subset] [--seed N] [--share X]``; ends with 1 when anything failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from attack.plan import FULL, SUBSET, run, scaled


def main() -> int:
    """Run the attack and print what became of every attempt."""
    parser = argparse.ArgumentParser(prog="attack")
    parser.add_argument("--subset", action="store_true", help="some ten minutes instead of hours")
    parser.add_argument("--share", type=float, default=1.0, help="of the number of attempts")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    counts = scaled(SUBSET if given.subset else FULL, given.share)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(Path(folder), counts, given.seed)
    sys.stdout.write(f"{tally}\n")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())

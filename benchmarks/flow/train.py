"""Train the network of flow that ships, without labels, and put it into the package.

    python -m benchmarks.flow.train VIDEOS... --run RUN [--ship]

Each VIDEOS is a folder of videos; the synthetic world gives a quarter of the clips, and no truth of
it enters the loss. This is ``sbind flow train`` with the preset "small": about an hour of one CPU
core. A run that was stopped goes on; one that stops early ships as far as it came, and its card
says so. Not run by make bench.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shipping import ship
from scalable_binding.cli.settings import configure
from scalable_binding.flow.model import SHIPPED, load
from scalable_binding.flow.train import train

CARD = {
    "name": "flow",
    "data": "26 minutes of unlabeled video: clips of DROID and of Intel's sample videos (CC BY "
    "4.0), 30 sequences of DAVIS 2016 train (BSD), 41 demo videos of open-source projects "
    "(Apache-2.0, MIT); clips under 208 pixels are left out; the synthetic world without its "
    "truth, its textures from scikit-image's photographs",
    "license": "videos: CC BY 4.0, BSD, Apache-2.0, MIT; photographs: as scikit-image lists; "
    "weights: Apache-2.0",
    "command": "python -m benchmarks.flow.train VIDEOS... --run RUN --ship",
}

HISTORY = {
    "note": "the first 1,217 steps with views of 160 pixels (shift 3.5 to 56), batches of 3, "
    "learning rate 8e-4, loss.clip_rate 0.1, EMA 0.995; planned for 12,000, then 7,700, 6,000 and "
    "5,300 steps",
    "score": {
        "24 held-out synthetic pairs: EPE (zero flow 3.04, DIS 0.77)": 0.834,
        "8 warped frames of DAVIS 2016 val: EPE (zero flow 11.56, DIS 0.32)": 0.260,
    },
}
"""Of the network that ships; another run's card has neither."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    train(configure("flow", "small"), chosen.videos, chosen.run)
    if chosen.ship:
        ship(load(chosen.run), chosen.run, SHIPPED, CARD)


if __name__ == "__main__":
    main()

"""Train the network of flow that ships, without labels, and put it into the package.

    python -m benchmarks.flow.train CLIPS DAVIS/JPEGImages/480p --run RUN [--ship]

CLIPS is a folder of videos, DAVIS that of frames; the synthetic world gives half of the clips, and
no truth of it enters the loss. Videos are first written as folders of JPEGs, 24 frames a second and
480 pixels high, into RUN-data. Then this is ``sbind flow train`` with the preset "small".
A run that was stopped goes on; one that stops early ships as far as it came, and its card says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.crw.train import to_frames
from benchmarks.shipping import ship
from scalable_binding.cli.settings import configure
from scalable_binding.flow.model import SHIPPED, load
from scalable_binding.flow.train import train

COMMAND = "python -m benchmarks.flow.train CLIPS DAVIS/JPEGImages/480p --run RUN --ship"
CARD = {
    "name": "flow",
    "data": "six demo videos (1,344 frames); the frames, not the masks, of eight sequences of "
    "DAVIS 2016 (523 frames); the synthetic world without its truth, its textures from "
    "scikit-image's photographs",
    "license": "videos: Apache-2.0; DAVIS: BSD; photographs: as scikit-image lists; "
    "weights: Apache-2.0",
    "command": COMMAND,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("davis", type=Path)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    frames = to_frames(chosen.clips, chosen.run.with_name(f"{chosen.run.name}-data"))
    train(configure("flow", "small"), [frames, chosen.davis], chosen.run)
    if chosen.ship:
        ship(load(chosen.run), chosen.run, SHIPPED, CARD)


if __name__ == "__main__":
    main()

"""Train the encoder that ships, by the dense walk, and put it into the package.

    python -m benchmarks.crw.train VIDEOS... --run RUN [--store FOLDER] --ship

Each VIDEOS is a folder of videos; folders are balanced as ``dense.root_power`` says. This is
``sbind crw train`` with the preset "dense": three hours and a half on one CPU core. A run that was
stopped goes on. ``--set NAME=VALUE ...`` changes settings, ``--read NAME=VALUE ...`` the reader,
and ``--frames FOLDER ...`` fits it on other videos.
Not run by make bench.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.shipping import ship
from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure
from scalable_binding.crw import calibration, model
from scalable_binding.crw.model import SHIPPED
from scalable_binding.crw.train import train
from scalable_binding.engine.checkpoint import CONFIG
from scalable_binding.engine.config import to_mapping

CARD = {
    "name": "crw",
    "data": "27 minutes of unlabeled video, 13,012 frames at 8 a second: 161 clips of DROID and 13 "
    "of Intel's sample videos (CC BY 4.0), 30 of DAVIS 2016 train (BSD), 41 demo videos of "
    "open-source projects (Apache-2.0, MIT)",
    "license": "videos: CC BY 4.0, BSD, Apache-2.0, MIT; weights: Apache-2.0",
    "command": "python -m benchmarks.crw.train VIDEOS... --run RUN --ship",
}


def settings_of(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` texts by name."""
    return dict(pair.split("=", 1) for pair in pairs)


def merge_config(run: Path, scores: dict[str, Any]) -> dict[str, Any]:
    """Bring a run's settings and its reader into one file; return the card."""
    found = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    encoder = model.load(run)
    assert isinstance(encoder, model.Encoder)
    found |= model.arguments(encoder)
    fitted = json.loads((run / model.READER_CONFIG).read_text(encoding="utf-8"))
    found["calibration"] = fitted["calibration"]
    write_text(run / CONFIG, json.dumps(found, indent=2) + "\n")
    return CARD | scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=None)
    parser.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    parser.add_argument("--read", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--frames", type=Path, nargs="*", default=None)
    parser.add_argument("--score", default="", help="a line for the card")
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    stored = [] if chosen.store is None else [f"clips.store={chosen.store}"]
    config = configure("crw", "dense", settings=[*chosen.settings, *stored])
    train(config, chosen.videos, chosen.run)
    reader = to_mapping(config.reader) | settings_of(chosen.read)
    encoder = calibration.calibrate(chosen.run, chosen.frames or chosen.videos, reader=reader)
    if chosen.ship:
        ship(encoder, chosen.run, SHIPPED, merge_config(chosen.run, {"score": chosen.score}))


if __name__ == "__main__":
    main()

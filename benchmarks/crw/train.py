"""Make an encoder without labels, the one that ships for example, and put it into the package.

    python -m benchmarks.crw.train CLIPS --run RUN --ship
    python -m benchmarks.crw.train CLIPS DAVIS/JPEGImages/480p --run RUN --preset small

CLIPS is a folder of videos; further folders hold folders of frames. Videos are first written as
folders of JPEGs, 24 frames a second and 480 pixels high, into RUN-data, since a clip is read from
these many times faster. Then this is ``sbind crw train``: with the preset "calibrated", which
ships, a minute; with "small" some ten minutes on one CPU core. Not run by ``make bench``. A run
that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shipping import ship
from scalable_binding.cli.settings import configure
from scalable_binding.crw.model import SHIPPED, Encoder, load
from scalable_binding.crw.train import train
from scalable_binding.data.frames import videos
from scalable_binding.engine.config import override

FPS = 24
HEIGHT = 480
COMMAND = "python -m benchmarks.crw.train CLIPS --run RUN --ship"
CARD = {
    "name": "crw",
    "data": "statistics of 32 frames of six videos (norms, principal axes); random convolutions",
    "license": "videos: Apache-2.0; weights: Apache-2.0",
    "command": COMMAND,
    "score": "DAVIS 2016, eight sequences, 480p: mean J&F .703 (random weights read at res3 .587)",
}


def to_frames(clips: Path, out: Path) -> Path:
    """Write every video of a folder as a folder of frames, unless that is there."""
    for video in sorted(clips.glob("*.mp4")):
        folder = out / video.stem
        if not folder.is_dir():
            videos.write(folder, videos.stream(video, fps=FPS, size=HEIGHT), fps=FPS, still=".jpg")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path)
    parser.add_argument("frames", type=Path, nargs="*", default=[])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--preset", default="calibrated")
    parser.add_argument("--ship", action="store_true")
    chosen = parser.parse_args()
    clips = to_frames(chosen.clips, chosen.run.with_name(f"{chosen.run.name}-data"))
    config = override(configure("crw", chosen.preset), {"fit.num_workers": 1})
    train(config, [clips, *chosen.frames], chosen.run)
    if chosen.ship:
        encoder = load(chosen.run)
        assert isinstance(encoder, Encoder)
        ship(encoder, chosen.run, SHIPPED, CARD)


if __name__ == "__main__":
    main()

"""Draws crw.webp: the bundled real clip with its painted first mask and the propagated masks.

python docs/images/draw_crw.py [WEIGHTS]

Takes half a minute on one CPU core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from einops import rearrange
from PIL import Image
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import inference, model
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import masks
from scalable_binding.demo.clips import CLIP
from scalable_binding.demo.montage import tiled, titled

HERE = Path(__file__).parent
EVERY = 2
"""Frames of the clip from one picture of the animation to the next."""


def main(weights: str = "shipped") -> None:
    """Draw the animation with an encoder."""
    frames, first = videos.read(CLIP / "juggling.mp4"), masks.read(CLIP / "juggling.png")
    given = titled(plots.overlay(frames[0], first), "input: one painted frame")
    found = inference.propagate(frames, first, model.load(weights))
    panels = [
        tiled([given, titled(plots.overlay(frame, one.labels), "output: masks")], columns=2)
        for frame, one in zip(frames, found, strict=True)
    ]
    _save(HERE / "crw.webp", panels[::EVERY], fps=videos.probe(CLIP / "juggling.mp4").fps / EVERY)


def _save(path: Path, panels: Sequence[Tensor], fps: float) -> None:
    """Write a looping animation whose last frame stays for a second."""
    pictures = [Image.fromarray(rearrange(p, "c h w -> h w c").numpy()) for p in panels]
    size = (960, round(pictures[0].height * 960 / pictures[0].width))
    shown = [picture.resize(size) for picture in pictures]
    durations = [round(1000 / fps)] * (len(shown) - 1) + [1000]
    shown[0].save(
        path,
        save_all=True,
        append_images=shown[1:],
        duration=durations,
        loop=0,
        quality=50,
        method=6,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

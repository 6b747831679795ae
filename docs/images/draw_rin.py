"""The animation of digits that come out of noise in README.md.

python docs/images/draw_rin.py [RUN]

Writes ``rin.webp`` beside this file, with the digits that ship. Takes seconds on one CPU core.
"""

from __future__ import annotations

import sys
from pathlib import Path

from einops import rearrange
from PIL import Image
from torch import Tensor

from scalable_binding.plots import grids
from scalable_binding.rin import inference

PATH = Path(__file__).parent / "rin.webp"
STEPS, EVERY = 100, 4
ROWS, SIDE = 3, 24
FRAME_MS, HOLD_MS = 120, 2500


def main(run: str = "digits") -> None:
    """Draw the noisy signals beside what the network sees in them, a column for each class."""
    network = inference.load(run)
    classes = range(network.model.num_classes)
    settings = inference.SamplingConfig(steps=STEPS, seed=0)
    frames = []
    for state in inference.sample(network, ROWS * len(classes), settings, classes=classes):
        if state.step % EVERY == EVERY - 1:
            pair = [
                _grid(inference.pictures(network, x), len(classes)) for x in (state.x, state.x0)
            ]
            names = ["noise, step by step less of it", "what the network sees in it"]
            frames.append(grids.beside([one[None] for one in pair], names)[0])
    shown = [Image.fromarray(rearrange(frame, "c h w -> h w c").numpy()) for frame in frames]
    durations = [FRAME_MS] * (len(shown) - 1) + [HOLD_MS]
    shown[0].save(
        PATH,
        save_all=True,
        append_images=shown[1:],
        duration=durations,
        loop=0,
        quality=40,
        method=1,
    )


def _grid(samples: Tensor, columns: int) -> Tensor:
    colored = samples.expand(-1, 3, *samples.shape[2:])
    return grids.grid(grids.enlarge(colored, SIDE), columns=columns)


if __name__ == "__main__":
    main(*sys.argv[1:])

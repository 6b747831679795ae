"""Masks of a whole video from the mask of its first frame, one frame at a time.

python examples/crw_propagate.py VIDEO FIRST.png [OUT] [WEIGHTS]
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import inference, model
from scalable_binding.data.frames import videos
from scalable_binding.data.labels import masks


def main(video: str, first: str, out: str = "labels", weights: str = "shipped") -> None:
    """Write OUT/00000.png, OUT/00001.png, ... and the video with the masks over it, OUT.mp4."""
    encoder = model.load(weights)  # or "random", "raw", a run's folder, ImageNet's ResNet-18
    predictions = inference.propagate(
        videos.stream(video), masks.read(first), encoder, inference.PropagationConfig()
    )

    def overlays() -> Iterator[Tensor]:
        for frame, found in zip(videos.stream(video), predictions, strict=True):
            masks.write(Path(out) / f"{found.frame:05}.png", found.labels)
            doubtful = float((found.confidence < 0.9).float().mean())
            print(f"frame {found.frame}: objects {found.ids}, {doubtful:.1%} of it in doubt")
            yield plots.overlay(frame, found.labels)

    videos.write(Path(f"{out}.mp4"), overlays(), fps=videos.probe(video).fps)


if __name__ == "__main__":
    main(*sys.argv[1:])

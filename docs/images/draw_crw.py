"""The animation of label propagation in README.md and crw.md, of the demo's synthetic scene.

python docs/images/draw_crw.py [WEIGHTS]

Writes ``crw.webp`` beside this file, with the shipped encoder. Takes a minute on one CPU core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import inference, model
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.demo import CRWSettings, DemoConfig
from scalable_binding.demo.crw.scene import FPS, draw_scene
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.plots import keypoints

HERE = Path(__file__).parent
TRAIL = 12


def main(weights: str = "shipped") -> None:
    """Draw the animation with an encoder."""
    config = DemoConfig(crw=CRWSettings(weights=weights))
    scene = draw_scene(config)
    encoder = model.load(weights, seed=config.seed)
    given = plots.overlay(scene.frames[0], scene.masks[0])
    found = inference.propagate(scene.frames, scene.masks[0], encoder)
    masks = [
        plots.overlay(frame, one.labels) for frame, one in zip(scene.frames, found, strict=True)
    ]
    points = [
        Keypoint(0, number, x, y)
        for number, (x, y) in enumerate(scene.keypoints[0].tolist(), 1)
        if scene.visible[0, number - 1]
    ]
    tracked = [one.keypoints for one in inference.propagate(scene.frames, points, encoder)]
    panels = [
        tiled(
            [
                titled(given, "given: one labeled frame"),
                titled(masks[number], "made: masks"),
                titled(_trails(scene.frames[number], tracked[: number + 1]), "made: key points"),
            ],
            columns=3,
        )
        for number in range(len(masks))
    ]
    _save(HERE / "crw.webp", panels)


def _trails(frame: Tensor, tracked: Sequence[Sequence[Keypoint]]) -> Tensor:
    """The frame with the latest points and the way they came; doubtful ones are left out."""
    way = torch.tensor([[(p.x, p.y) for p in points] for points in tracked[-TRAIL:]])
    sure = torch.tensor([[p.confidence > 0.2 for p in points] for points in tracked[-TRAIL:]])
    way = way.where(sure[..., None], torch.nan)
    return keypoints.draw(frame, way[-1], trail=way[:-1], radius=4.0)


def _save(path: Path, panels: Sequence[Tensor]) -> None:
    """Write an animation that plays for ever, its last frame a little longer."""
    pictures = [Image.fromarray(rearrange(p, "c h w -> h w c").numpy()) for p in panels]
    shown = [picture.reduce(2) if picture.width > 1400 else picture for picture in pictures]
    durations = [1000 // FPS] * (len(shown) - 1) + [1200]
    shown[0].save(
        path,
        save_all=True,
        append_images=shown[1:],
        duration=durations,
        loop=0,
        quality=55,
        method=6,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A short clip for the session and the page: textured squares that move over noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scalable_binding.app.session import Session
from scalable_binding.crw.model import RawPatches
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import videos

HEIGHT, WIDTH, COUNT = 96, 160, 12
SIDE = 32
SHARP = PropagationConfig(context=4, neighbors=3, radius=6.0, temperature=0.01)
CENTERS = {1: (40.0, 32.0), 2: (40.0, 72.0)}
"""Of the two squares in frame 0, as (x, y)."""


def scene(count: int = COUNT) -> tuple[Tensor, Tensor]:
    """Two squares, one above the other, that go a cell to the right each frame; and their ids."""
    generator = torch.Generator().manual_seed(0)

    def noise(height: int, width: int, low: float, high: float) -> Tensor:
        coarse = torch.rand(1, 3, height // 4, width // 4, generator=generator)
        fine = torch.nn.functional.interpolate(coarse, scale_factor=4.0)[0]
        return ((low + (high - low) * fine) * 255).byte()

    frames = noise(HEIGHT, WIDTH, 0.0, 0.3).repeat(count, 1, 1, 1)
    ids = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    for number, top in ((1, 16), (2, 56)):
        square = noise(SIDE, SIDE, 0.6, 1.0)
        square[number % 3] //= 2
        for t in range(count):
            left = 24 + 8 * min(t, 10)
            place = (slice(top, top + SIDE), slice(left, left + SIDE))
            frames[t][:, *place], ids[t][place] = square, number
    return frames, ids


def write(folder: Path, count: int = COUNT) -> Path:
    """The clip as a folder of frames."""
    videos.write(folder / "clip", scene(count)[0], fps=8)
    return folder / "clip"


def session(folder: Path, clip: Path | None = None) -> Session:
    """A session on the clip, whose model needs no weights."""
    clip = clip or (folder / "clip" if (folder / "clip").exists() else write(folder))
    return Session(clip, folder / "project", model=RawPatches(), config=SHARP)


def overlap(found: np.ndarray, truth: np.ndarray | Tensor) -> float:
    """Intersection over union of two masks."""
    truth = np.asarray(truth)
    return float((found & truth).sum() / max(1, (found | truth).sum()))

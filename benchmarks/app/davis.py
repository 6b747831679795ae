"""Sequences of DAVIS for the page's benchmarks, and a user that clicks by the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from PIL import Image
from scipy import ndimage

from scalable_binding.errors import UserError

Mask = Bool[np.ndarray, "h w"]


class Sequence(NamedTuple):
    """A folder of frames and the files of their masks, in order."""

    name: str
    frames: Path
    masks: list[Path]

    def truth(self, frame: int) -> Mask:
        """The pixels of all objects of a frame together, as DAVIS 2016 has it."""
        with Image.open(self.masks[frame]) as picture:
            ids = np.asarray(picture)
        return (ids > 0) & (ids < 255) if ids.max() < 255 else ids > 0


def sequences(root: Path) -> Iterator[Sequence]:
    """All sequences below ``root``, which holds JPEGImages and Annotations."""
    folder = root / "JPEGImages" / "480p"
    if not folder.is_dir():
        raise UserError(f"no DAVIS in {root}", expected="JPEGImages/480p and Annotations/480p")
    for frames in sorted(folder.iterdir()):
        masks = sorted((root / "Annotations" / "480p" / frames.name).glob("*.png"))
        yield Sequence(frames.name, frames, masks)


def next_click(found: Mask, truth: Mask) -> tuple[int, int, bool]:
    """x, y and sign of a click in the middle of the largest region that is wrong.

    The middle is the pixel that is farthest from the region's border, as the benchmarks of
    interactive segmentation have it.

    Source: Xu et al., Deep interactive object selection, CVPR 2016; Sofiiuk et al., 2021.
    """
    largest, inside, is_on = 0, truth, True
    for wrong, sign in ((truth & ~found, True), (found & ~truth, False)):
        parts, _ = ndimage.label(wrong, np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        if sizes.max() > largest:
            largest, inside, is_on = int(sizes.max()), parts == sizes.argmax(), sign
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y), is_on


def region(found: Mask, truth: Mask) -> float:
    """J: intersection over union."""
    return float((found & truth).sum() / max(1, (found | truth).sum()))

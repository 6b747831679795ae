"""LA-CATER in its official layout: videos in which a snitch is hidden, contained and carried.

A part of the set is a folder such as ``test_data`` with ``videos/NAME.avi``, the boxes of whole
objects in ``labels/NAME_bb.json`` (names of objects to x, y, width, height in every frame), and
in ``containment_and_occlusions`` text files whose lines name a video and, after a tab, frames with
commas between them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from scalable_binding import files
from scalable_binding.data.frames import containers
from scalable_binding.data.synthetic.hiding import CARRIED, CONTAINED, OCCLUDED, VISIBLE
from scalable_binding.errors import UserError

SNITCH = "spl"
"""In the name of the object to follow."""

_FLAGS = {
    "visible": "visibility_rate_gt_0.txt",
    "contained": "containment_only_static_annotations.txt",
    "carried": "containment_with_move_annotations.txt",
}


@dataclass(frozen=True)
class SnitchVideo:
    """A video with the truth about its snitch.

    ``boxes`` are x0, y0, x1, y1 of the whole snitch in pixels, seen or not; the center of the top
    left pixel is (0, 0). ``states`` are those of ``data.synthetic.hiding``.
    """

    name: str
    video: Path
    boxes: Float32[Tensor, "t 4"]
    states: Int64[Tensor, "t"]


def read(root: Path) -> list[SnitchVideo]:
    """The videos of a part of the set, by name.

    Raises:
        UserError: a folder or file is missing or of another form, or no video has its boxes.
    """
    folder = root / "test_data" if (root / "test_data").is_dir() else root
    for name in ("videos", "labels", "containment_and_occlusions"):
        if not (folder / name).is_dir():
            expected = "videos, labels and containment_and_occlusions in it"
            raise UserError(f"LA-CATER {folder}", expected=expected, got=f"no folder {name}")
    flags = {
        state: _frames(folder / "containment_and_occlusions" / name)
        for state, name in _FLAGS.items()
    }
    suffixes = containers.SUFFIXES
    found = sorted(path for path in (folder / "videos").iterdir() if path.suffix in suffixes)
    videos = []
    for path in found:
        boxes = _boxes(folder / "labels" / f"{path.stem}_bb.json")
        marked = {state: frames.get(path.stem, ()) for state, frames in flags.items()}
        videos.append(SnitchVideo(path.stem, path, boxes, _states(marked, len(boxes))))
    if not videos:
        raise UserError(f"LA-CATER {folder / 'videos'}", expected="at least one video", got="none")
    return videos


def _boxes(path: Path) -> Float32[Tensor, "t 4"]:
    """The snitch's boxes in every frame."""
    try:
        content = json.loads(files.read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    listed = content if isinstance(content, dict) else {}
    names = [name for name in listed if SNITCH in name.lower()]
    if len(names) != 1:
        got = f"{len(names)} such names"
        raise UserError(f"{path}", expected=f"one object with {SNITCH!r} in its name", got=got)
    try:
        x, y, width, height = torch.tensor(listed[names[0]], dtype=torch.float32).unbind(dim=-1)
    except (TypeError, ValueError, RuntimeError) as error:
        expected = "x, y, width, height of every frame"
        raise UserError(f"{path}, {names[0]}", expected=expected, got=str(error)[:60]) from error
    return torch.stack((x, y, x + width, y + height), dim=-1)


def _frames(path: Path) -> dict[str, tuple[int, ...]]:
    """For each video the frames that a file lists."""
    lines = files.read_text(path).splitlines()
    frames = {}
    for number, line in enumerate(lines, start=1):
        name, _, listed = line.partition("\t")
        try:
            frames[name] = tuple(int(frame) for frame in listed.split(",") if frame.strip())
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from error
    return frames


def _states(marked: dict[str, tuple[int, ...]], count: int) -> Int64[Tensor, "t"]:
    """States of the frames; what is neither visible nor in a container is occluded."""
    states = torch.full((count,), OCCLUDED)
    for name, state in (("contained", CONTAINED), ("carried", CARRIED), ("visible", VISIBLE)):
        inside = [frame for frame in marked[name] if 0 <= frame < count]
        states[torch.tensor(inside, dtype=torch.int64)] = state
    return states

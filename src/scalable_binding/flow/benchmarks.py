"""Benchmarks of optical flow in their official layouts, and pairs of the synthetic world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from scalable_binding import files
from scalable_binding.data.frames import images
from scalable_binding.data.labels import flow_files
from scalable_binding.data.synthetic.clips import SyntheticClips
from scalable_binding.data.synthetic.config import WorldConfig, training
from scalable_binding.errors import UserError

SYNTHETIC_PAIRS = 64
SYNTHETIC_SEED = 20231

_CHAIRS_SPLIT = ("FlyingChairs_train_val.txt", "chairs_split.txt")
_VALIDATION = "2"


@dataclass(frozen=True)
class Example:
    """Two frames and the true flow from the first to the second.

    Attributes:
        name: of the pair, for the results.
        first, second: RGB.
        flow: displacement (x, y) of each pixel of the first frame, in pixels.
        known: where it is known.
        visible: what is seen in the second frame too; None where the benchmark does not say.
    """

    name: str
    first: UInt8[Tensor, "3 h w"]
    second: UInt8[Tensor, "3 h w"]
    flow: Float[Tensor, "2 h w"]
    known: Bool[Tensor, "h w"]
    visible: Bool[Tensor, "h w"] | None


Examples = Iterator[Example]


def sintel(root: Path, render: str = "final") -> list[Callable[[], Example]]:
    """Pairs of MPI Sintel's training set.

    ``root`` holds ``training/{clean,final}/SCENE/frame_0001.png``, ``training/flow`` and, if masks
    of hidden pixels are wanted, ``training/occlusions``; ``training/invalid`` is used if there.

    Raises:
        UserError: a folder is missing or holds no flow.
    """
    base = root / "training" if (root / "training").is_dir() else root
    flows = _listed(base / "flow", "*/*.flo")
    return [_lazily(_sintel_pair, base, render, path) for path in flows]


def _sintel_pair(base: Path, render: str, path: Path) -> Example:
    scene, number = path.parent.name, path.stem.rpartition("_")[2]
    if not number.isdecimal():
        raise UserError(f"{path}", expected="a name such as frame_0001.flo")
    frames = base / render / scene
    following = f"frame_{int(number) + 1:0{len(number)}}.png"
    truth = flow_files.read(path)
    known, visible = truth.known, None
    hidden = base / "occlusions" / scene / f"frame_{number}.png"
    if hidden.is_file():
        visible = images.read(hidden)[0] < 128
    invalid = base / "invalid" / scene / f"frame_{number}.png"
    if invalid.is_file():
        known = known & _fitting(images.read(invalid)[0] < 128, known, invalid)
    first, second = frames / f"frame_{number}.png", frames / following
    return _checked(f"{scene}/{number}", first, second, truth.flow, known, visible)


def kitti(root: Path) -> list[Callable[[], Example]]:
    """Pairs of KITTI 2015's (or 2012's) training set.

    ``root`` holds ``training/image_2`` (2012: ``colored_0``), ``training/flow_occ`` and, for pixels
    seen in both frames, ``training/flow_noc``.

    Raises:
        UserError: a folder is missing or holds no flow.
    """
    base = root / "training" if (root / "training").is_dir() else root
    return [_lazily(_kitti_pair, base, path) for path in _listed(base / "flow_occ", "*_10.png")]


def _kitti_pair(base: Path, path: Path) -> Example:
    frames = base / "image_2"
    if not frames.is_dir():
        frames = base / "colored_0"
    name = path.stem.removesuffix("_10")
    truth = flow_files.read(path)
    seen = base / "flow_noc" / path.name
    visible = flow_files.read(seen).known if seen.is_file() else None
    first, second = frames / f"{name}_10.png", frames / f"{name}_11.png"
    return _checked(name, first, second, truth.flow, truth.known, visible)


def chairs(root: Path) -> list[Callable[[], Example]]:
    """Pairs of FlyingChairs: those for validation where a split lies beside them, or all.

    ``root`` or its folder ``data`` holds ``00001_img1.ppm``, ``00001_img2.ppm``, ``00001_flow.flo``
    and so on; the split has a line of 1 (training) or 2 (validation) for each.

    Raises:
        UserError: a folder is missing or holds no flow, or the split is of other data.
    """
    base = root / "data" if (root / "data").is_dir() else root
    flows = _listed(base, "*_flow.flo")
    for folder in (root, base):
        for split in (folder / name for name in _CHAIRS_SPLIT):
            if split.is_file():
                flows = _validation(flows, split)
                return [_lazily(_chairs_pair, path) for path in flows]
    return [_lazily(_chairs_pair, path) for path in flows]


def _validation(flows: list[Path], split: Path) -> list[Path]:
    kinds = files.read_text(split).split()
    if len(kinds) != len(flows):
        raise UserError(f"{split}", expected=f"{len(flows)} lines, one a pair", got=str(len(kinds)))
    return [path for path, kind in zip(flows, kinds, strict=True) if kind == _VALIDATION]


def _chairs_pair(path: Path) -> Example:
    name = path.name.removesuffix("_flow.flo")
    first, second = (path.with_name(f"{name}_img{number}.ppm") for number in (1, 2))
    truth = flow_files.read(path)
    return _checked(name, first, second, truth.flow, truth.known, None)


def synthetic(root: Path | None = None) -> list[Callable[[], Example]]:
    """Pairs of scenes of the synthetic world whose textures no training shows; needs no folder."""
    world = replace(training(size=256, num_frames=2), split="held_out")
    return [
        _lazily(synthetic_pair, world, SYNTHETIC_SEED, number) for number in range(SYNTHETIC_PAIRS)
    ]


def synthetic_pair(world: WorldConfig, seed: int, number: int) -> Example:
    """The first two frames of a scene, with their truth."""
    scene = SyntheticClips(world, seed, truth=True)[number]
    return Example(
        name=f"{number:04}",
        first=scene["frames"][0],
        second=scene["frames"][1],
        flow=scene["flow"][0],
        known=torch.ones_like(scene["flow_valid"][0]),
        visible=scene["flow_valid"][0],
    )


def _listed(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f"no such folder: {folder}", fix="see docs/flow.md for the layout")
    found = sorted(folder.glob(pattern))
    if not found:
        raise UserError(f"{folder}", expected=f"files such as {pattern}", got="none")
    return found


def _lazily(make: Callable[..., Example], *arguments: object) -> Callable[[], Example]:
    return lambda: make(*arguments)


def _checked(
    name: str,
    first: Path,
    second: Path,
    flow: Float[Tensor, "2 h w"],
    known: Bool[Tensor, "h w"],
    visible: Bool[Tensor, "_ _"] | None,
) -> Example:
    """The example, once frames, flow and masks are found to be of one size."""
    frames = [images.read(path) for path in (first, second)]
    for path, frame in zip((first, second), frames, strict=True):
        _fitting(frame[0], known, path)
    if visible is not None:
        visible = _fitting(visible, known, Path(f"mask of {name}"))
    return Example(name, frames[0], frames[1], flow, known, visible)


def _fitting(picture: Tensor, known: Bool[Tensor, "h w"], path: Path) -> Tensor:
    if picture.shape != known.shape:
        raise UserError(
            f"{path}",
            expected=f"the size of its flow, {known.shape[0]} x {known.shape[1]}",
            got=f"{picture.shape[0]} x {picture.shape[1]}",
        )
    return picture

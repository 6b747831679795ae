"""The data sets that label propagation is scored on, in their official layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding import files
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.scoring import (
    MaskScore,
    PartScore,
    PointScore,
    ScenePartScore,
    ScenePointScore,
    Score,
)
from scalable_binding.data import synthetic
from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks, matlab
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.errors import UserError
from scalable_binding.metrics.parts import VIP_CLASSES
from scalable_binding.metrics.segmentation import VOID

Frame = UInt8[Tensor, "3 h w"]

RESOLUTION = "480p"
"""DAVIS' smaller size, the one that scores are reported for."""

JHMDB_SIZE = 320
VIP_SIZE = 560

NUM_SCENES = 10
SCENE_SEED = 2017
SCENE_SIZE = (384, 672)
"""Height and width: of half this size, PCK@.1 asks for less than a cell and tells of the grid."""

_SPLIT = "_test_split1"
_TEST = "2"


@dataclass(frozen=True, kw_only=True)
class Video:
    """A sequence that is at hand: its frames, and what scores the labels of each kind."""

    frames: Iterable[Frame]
    scores: Mapping[str, Score]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A complete sequence of a data set; no pixel is read before ``open`` is called."""

    name: str
    num_frames: int
    open: Callable[[], Video]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A data set and its protocol.

    Args:
        names: of the sequences in a folder to score, given a file that lists them or None.
        entry: the sequence of a name.
        propagation: the thesis' values.
        kinds: what is scored, in the order of printing.
    """

    names: Callable[[Path, Path | None], list[str]]
    entry: Callable[[Path, str], Entry]
    propagation: PropagationConfig
    kinds: Mapping[str, type[Score]]


def davis_names(root: Path, listed: Path | None) -> list[str]:
    """The sequences of ``ImageSets/2017/val.txt`` where it is, otherwise all with annotations.

    Raises:
        UserError: there is no DAVIS in this folder, or the list cannot be read.
    """
    base = _base(root, "JPEGImages", "DAVIS")
    official = base / "ImageSets" / "2017" / "val.txt"
    return _names(listed, official, base / "Annotations" / RESOLUTION)


def davis(root: Path, name: str) -> Entry:
    """A sequence of DAVIS 2016 (masks of 0 and 255) or 2017 (indexed masks of several objects).

    Raises:
        UserError: the sequence is not there, or has frames without annotation.
    """
    base = _base(root, "JPEGImages", "DAVIS")
    frames, annotations = pairs(
        base / "JPEGImages" / RESOLUTION / name, base / "Annotations" / RESOLUTION / name
    )

    def at_hand() -> Video:
        score = MaskScore(lambda t: masks.read(annotations[t]), len(frames))
        return Video(frames=map(images.read, frames), scores={"masks": score})

    return Entry(name=name, num_frames=len(frames), open=at_hand)


def jhmdb_names(root: Path, listed: Path | None) -> list[str]:
    """The test videos of the first split, as CLASS/VIDEO.

    Raises:
        UserError: there is no JHMDB in this folder, or its lists cannot be read.
    """
    if listed is not None:
        return read_list(listed, depth=2)
    splits = _base(root, "joint_positions", "JHMDB") / "splits"
    names = []
    for path in sorted(splits.glob(f"*{_SPLIT}.txt")):
        for line in _lines(path):
            video, _, part = line.partition(" ")
            if part.strip() == _TEST:
                names.append(f"{path.stem.removesuffix(_SPLIT)}/{Path(video).stem}")
    if not names:
        expected = f"lists of test videos such as golf{_SPLIT}.txt"
        raise UserError(f"data {splits}", expected=expected, got="none")
    return names


def jhmdb(root: Path, name: str) -> Entry:
    """A video of JHMDB: 15 joints, whose places in the file count pixels from 1.

    Raises:
        UserError: the video is not there, is cut short, or its joints cannot be read.
    """
    base = _base(root, "joint_positions", "JHMDB")
    folder = base / "Rename_Images" / name
    if not folder.is_dir():
        raise UserError(f"sequence {name}", expected=f"a folder {folder}", got="none")
    path = base / "joint_positions" / name / "joint_positions.mat"
    joints = torch.from_numpy(matlab.read(path, "pos_img") - 1).float()
    if joints.ndim != 3 or joints.shape[0] != 2 or not joints.isfinite().all():
        shape = " x ".join(map(str, joints.shape))
        raise UserError(f"{path}, pos_img", expected="finite numbers, 2 x 15 x frames", got=shape)
    num_frames = joints.shape[2]
    frames = images.list_frames(folder)[:num_frames]
    if len(frames) < num_frames or num_frames < 2:
        got = f"{len(frames)} frames and joints in {num_frames}"
        raise UserError(f"sequence {name}", expected="2 frames or more, with joints", got=got)

    def at_hand() -> Video:
        height, width = images.probe(frames[0])
        score = PointScore(
            rearrange(joints, "xy k t -> t k xy"),
            (JHMDB_SIZE, JHMDB_SIZE),
            scale=(JHMDB_SIZE / width, JHMDB_SIZE / height),
        )
        return Video(frames=_squares(frames, JHMDB_SIZE), scores={"points": score})

    return Entry(name=name, num_frames=num_frames, open=at_hand)


def vip_names(root: Path, listed: Path | None) -> list[str]:
    """The sequences of ``lists/val_videos.txt`` where it is, otherwise all with annotations.

    Raises:
        UserError: there is no VIP in this folder, or the list cannot be read.
    """
    base = _base(root, "Images", "VIP_Fine", "VIP")
    official = base / "lists" / "val_videos.txt"
    return _names(listed, official, base / "Annotations" / "Category_ids")


def vip(root: Path, name: str) -> Entry:
    """A sequence of VIP: 20 classes of parts and clothes, background among them.

    Raises:
        UserError: the sequence is not there, or has frames without annotation.
    """
    base = _base(root, "Images", "VIP_Fine", "VIP")
    frames, annotations = pairs(
        base / "Images" / name, base / "Annotations" / "Category_ids" / name
    )

    def at_hand() -> Video:
        score = PartScore(
            lambda t: masks.read(annotations[t]), len(VIP_CLASSES), (VIP_SIZE, VIP_SIZE)
        )
        return Video(frames=_squares(frames, VIP_SIZE), scores={"parts": score})

    return Entry(name=name, num_frames=len(frames), open=at_hand)


def scene_names(root: Path, listed: Path | None) -> list[str]:
    """The held-out scenes of the synthetic world; both arguments are for data on disk."""
    return [f"scene-{number}" for number in range(NUM_SCENES)]


def scene(root: Path, name: str) -> Entry:
    """A held-out scene of the synthetic world: of textures that training never shows.

    What is hidden in the first frame cannot be followed: objects count as background, parts and
    key points are not scored.
    """
    config, seed = scene_recipe(name)

    def at_hand() -> Video:
        truth = synthetic.render(config, seed)
        objects, parts = _from_first(truth.masks, 0), _from_first(truth.parts, VOID)
        corners = rearrange(truth.boxes, "t o (corner xy) -> corner t o xy", corner=2)
        diagonals = torch.linalg.vector_norm(corners[1] - corners[0], dim=-1)
        points = ScenePointScore(
            truth.keypoints,
            (config.height, config.width),
            visible=truth.visible,
            diagonals=diagonals[:, truth.keypoint_object - 1],
        )
        num_classes = int(parts[0].max()) + 1
        return Video(
            frames=truth.frames.unbind(),
            scores={
                "masks": MaskScore(lambda t: objects[t], config.num_frames),
                "parts": ScenePartScore(lambda t: parts[t], num_classes),
                "points": points,
            },
        )

    return Entry(name=name, num_frames=config.num_frames, open=at_hand)


def scene_recipe(name: str) -> tuple[synthetic.WorldConfig, int]:
    """What a held-out scene is rendered from: its world's settings, and its seed."""
    config = synthetic.evaluation(height=SCENE_SIZE[0], width=SCENE_SIZE[1])
    return config, scene_seed(SCENE_SEED, int(name.removeprefix("scene-")))


def pairs(frames: Path, annotations: Path) -> tuple[list[Path], list[Path]]:
    """The frames in a folder and the annotation of each, in another, by the same names.

    Raises:
        UserError: a folder is missing, or a frame has no annotation or an annotation no frame.
    """
    for folder in (frames, annotations):
        if not folder.is_dir():
            raise UserError(f"sequence {frames.name}", expected=f"a folder {folder}", got="none")
    pictures, labels = (
        {path.stem: path for path in images.list_frames(folder)} for folder in (frames, annotations)
    )
    lacking = sorted(pictures.keys() ^ labels.keys())
    if lacking or not pictures:
        raise UserError(
            f"sequence {frames.name}",
            expected="an annotation of every frame",
            got=f"{len(pictures)} frames and {len(labels)} annotations"
            + (f", {lacking[0]} being alone" if lacking else ""),
        )
    return list(pictures.values()), [labels[stem] for stem in pictures]


def read_list(path: Path, depth: int = 1) -> list[str]:
    """The sequences that a file names, one a line, each once.

    The official kinds of lines are understood: a name; paths of a sequence's folder or of its
    frames, of which the last ``depth`` folders are the name.

    Raises:
        UserError: the file cannot be read, or is empty.
    """
    names: dict[str, None] = {}
    for line in _lines(path):
        first = Path(line.split()[0])
        folder = first.parent if first.suffix.lower() in images.SUFFIXES else first
        names["/".join(folder.parts[-depth:])] = None
    if not names:
        raise UserError(f"list of sequences {path}", expected="a name a line", got="none")
    return list(names)


def _lines(path: Path) -> list[str]:
    return [line for line in files.read_text(path).split("\n") if line.strip()]


def _names(listed: Path | None, official: Path, annotations: Path) -> list[str]:
    """The sequences in the list given, else in the official one, else those with annotations."""
    if listed is None and official.is_file():
        listed = official
    if listed is not None:
        return read_list(listed)
    if not annotations.is_dir():
        raise UserError(f"data {annotations}", expected="a folder of sequences", got="none")
    folders = [path for path in annotations.iterdir() if path.is_dir()]
    return sorted(folder.name for folder in folders if images.list_frames(folder))


def _base(root: Path, inner: str, *below: str) -> Path:
    """The folder that has ``inner`` in it: ``root``, or the data set's own folder in it."""
    for base in (root, *(root / name for name in below)):
        if (base / inner).is_dir():
            return base
    raise UserError(f"data {root}", expected=f"a folder {inner} in it", got="none")


def _squares(frames: Sequence[Path], side: int) -> Iterator[Frame]:
    """The frames, each squeezed to a square of ``side`` pixels."""
    for path in frames:
        colors = images.read(path)[None].float()
        square = functional.interpolate(colors, (side, side), mode="bilinear", antialias=True)
        yield square[0].round().clamp(0, 255).to(torch.uint8)


def _from_first(ids: UInt8[Tensor, "t h w"], absent: int) -> UInt8[Tensor, "t h w"]:
    """The ids of the first frame numbered 1, 2, ...; others become ``absent``."""
    table = torch.full((256,), absent, dtype=torch.uint8)
    present = ids[0].unique()
    present = present[present > 0].long()
    table[0] = 0
    table[present] = torch.arange(1, len(present) + 1, dtype=torch.uint8)
    return table[ids.long()]


BENCHMARKS = {
    "davis": Benchmark(
        names=davis_names,
        entry=davis,
        propagation=PropagationConfig(context=20, neighbors=10, radius=12.0),
        kinds={"masks": MaskScore},
    ),
    "jhmdb": Benchmark(
        names=jhmdb_names,
        entry=jhmdb,
        propagation=PropagationConfig(context=7, neighbors=10, radius=12.0),
        kinds={"points": PointScore},
    ),
    "vip": Benchmark(
        names=vip_names,
        entry=vip,
        propagation=PropagationConfig(context=1, neighbors=10, radius=12.0),
        kinds={"parts": PartScore},
    ),
    "synthetic": Benchmark(
        names=scene_names,
        entry=scene,
        propagation=PropagationConfig(context=20, neighbors=10, radius=12.0, zoom=2.0),
        kinds={"masks": MaskScore, "parts": ScenePartScore, "points": ScenePointScore},
    ),
}
"""By the names that the command line knows."""

"""The data sets that label propagation is scored on, in their official layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.scoring import MaskScore, Score
from scalable_binding.data import images, masks
from scalable_binding.errors import UserError

Frame = UInt8[Tensor, "3 h w"]

RESOLUTION = "480p"


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
    base = _base(root, "JPEGImages")
    official = base / "ImageSets" / "2017" / "val.txt"
    if listed is None and official.is_file():
        listed = official
    if listed is not None:
        return read_list(listed)
    annotations = base / "Annotations" / RESOLUTION
    return sorted(folder.name for folder in _folders(annotations) if images.list_frames(folder))


def davis(root: Path, name: str) -> Entry:
    """A sequence of DAVIS 2016 (masks of 0 and 255) or 2017 (indexed masks of several objects).

    Raises:
        UserError: the sequence is not there, or has frames without annotation.
    """
    base = _base(root, "JPEGImages")
    frames, annotations = pairs(
        base / "JPEGImages" / RESOLUTION / name, base / "Annotations" / RESOLUTION / name
    )
    return Entry(name=name, num_frames=len(frames), open=partial(_open_davis, frames, annotations))


def _open_davis(frames: Sequence[Path], annotations: Sequence[Path]) -> Video:
    return Video(
        frames=map(images.read, frames),
        scores={"masks": MaskScore(lambda t: masks.read(annotations[t]), len(frames))},
    )


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
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the list of sequences {path}: {error}") from error
    names: dict[str, None] = {}
    for line in filter(str.strip, lines):
        first = Path(line.split()[0])
        folder = first.parent if first.suffix.lower() in images.SUFFIXES else first
        names["/".join(folder.parts[-depth:])] = None
    if not names:
        raise UserError(f"list of sequences {path}", expected="a name a line", got="none")
    return list(names)


def _base(root: Path, inner: str, *below: str) -> Path:
    """The folder that has ``inner`` in it: ``root``, or the data set's own folder in it."""
    for base in (root, *(root / name for name in (below or ("DAVIS",)))):
        if (base / inner).is_dir():
            return base
    raise UserError(f"data {root}", expected=f"a folder {inner} in it", got="none")


def _folders(parent: Path) -> list[Path]:
    if not parent.is_dir():
        raise UserError(f"data {parent}", expected="a folder of sequences", got="none")
    return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]


BENCHMARKS = {
    "davis": Benchmark(
        names=davis_names,
        entry=davis,
        propagation=PropagationConfig(context=20, neighbours=10, radius=12.0),
        kinds={"masks": MaskScore},
    ),
}
"""By the names that the command line knows."""

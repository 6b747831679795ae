"""Which images lie under a root - folders, ZIP archives, tar shards - and of which classes.

A class is named by the folder that an image lies in or, in webdataset's shards, by the number in
the ``.cls`` file of the same sample.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Int64
from torch import Tensor

from scalable_binding.data import shards, zips
from scalable_binding.data.frames import images, sources
from scalable_binding.data.frames.images import Source
from scalable_binding.errors import UserError

ARCHIVES = (".zip", ".tar")
MAX_CLASSES = 100_000
_MAX_NUMBER_BYTES = 32


_TRAINING = ("train", "training")
_HELD_OUT = {"val", "valid", "validation", "test", "testing", "dev"}


class HeldOutWarning(UserWarning):
    """Parts of a data set, such as ``val``, are left out of training."""


class UnusableImageWarning(UserWarning):
    """An image cannot be used, and another one takes its place; or an archive is left out."""


@dataclass(frozen=True)
class Catalog:
    """Images and their classes.

    Attributes:
        images: where each image is.
        labels: number of each image's class; 0 where there are no classes.
        classes: their names in the order of their numbers; empty where there are none.
    """

    images: list[Source]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """An image, the folders it lies in, and the number that its sample names as its class."""

    source: Source
    folders: tuple[str, ...]
    number: int | None = None


def find_images(roots: Sequence[Path]) -> Catalog:
    """Every image under the roots, at any depth, in a fixed order.

    A root is a folder, a ``.zip`` archive, a ``.tar`` shard or a single image; archives inside a
    folder are opened too. The folders that all images of a root share are left aside, and the next
    one names the class: ``train/cat/1.jpg`` and ``train/dog/2.jpg`` are a cat and a dog. Images
    that lie in no folder of their own have no class. Numbers in ``.cls`` files take the place of
    folders when every image has one. Of a root with parts such as ``train`` and ``val`` the part to
    train on is taken, with a warning. Hidden files are left out, and pictures of kinds that are not
    read, which are warned of.

    Raises:
        UserError: nothing is at a root, no image is found, an archive named as a root cannot be
            read or is hostile, or only some images have a ``.cls`` file.
    """
    found: list[_Found] = []
    for root in roots:
        others: list[str] = []
        under = list(_under(root, others))
        images.warn_of_others(str(root), others)
        if not under:
            raise UserError(
                f"no images under {root}",
                expected="images, folders of images, .zip archives or .tar shards",
            )
        under = _take_training_part(root, _without_shared(under))
        found += _without_shared(under)
    labels, classes = _number(found)
    return Catalog([image.source for image in found], torch.tensor(labels), classes)


def _without_shared(found: Sequence[_Found]) -> list[_Found]:
    """The images without the folders that all of them share."""
    shared = _count_shared([image.folders for image in found])
    return [replace(image, folders=image.folders[shared:]) for image in found]


def _take_training_part(root: Path, found: list[_Found]) -> list[_Found]:
    """The images of ``train`` alone, where ``val`` or ``test`` lies beside it."""
    parts = Counter(image.folders[0].lower() for image in found if image.folders)
    chosen = next((name for name in _TRAINING if name in parts), None)
    if chosen is None or not _HELD_OUT & set(parts):
        return found
    left = ", ".join(f"{count} of {name}" for name, count in parts.items() if name != chosen)
    taken = [image for image in found if image.folders and image.folders[0].lower() == chosen]
    message = f"{root}: the {len(taken)} images of {chosen} are used, and left out are {left}"
    warnings.warn(message, HeldOutWarning, stacklevel=4)
    return taken


def _under(root: Path, others: list[str]) -> Iterator[_Found]:
    """Images under a root; names of all files are added to ``others``."""
    if not root.exists():
        raise UserError(f"no such file or folder: {root}")
    top = root if root.is_dir() else root.parent
    for folder, names in sources.walk(root):
        others += names
        for name in sorted(names, key=images.natural_order):
            path, suffix = folder / name, Path(name).suffix.lower()
            if suffix in images.SUFFIXES:
                yield _Found(path, folder.relative_to(top).parts)
            elif suffix in ARCHIVES and path == root:
                yield from _in_archive(path, others)
            elif suffix in ARCHIVES:
                yield from _in_archive_if_sound(path, others)


def _in_archive_if_sound(archive: Path, others: list[str]) -> list[_Found]:
    try:
        return _in_archive(archive, others)
    except UserError as error:
        message = f"an archive is left out: {error}"
        warnings.warn(message, UnusableImageWarning, stacklevel=4)
        return []


def _in_archive(archive: Path, others: list[str]) -> list[_Found]:
    if archive.suffix.lower() == ".zip":
        files = zips.index(archive)
        others += [file.name for file in files]
        return _pictures(files, {})
    members = shards.index(archive)
    others += [member.name for member in members]
    numbers = {
        shards.sample_key(member.name)[0]: _read_number(member)
        for member in members
        if member.name.endswith(".cls")
    }
    return _pictures(members, numbers)


def _pictures(
    members: Iterable[shards.Member | zips.ZipMember], numbers: dict[str, int]
) -> list[_Found]:
    found = []
    for member in members:
        path = PurePosixPath(member.name)
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part != ".")
        if path.suffix.lower() in images.SUFFIXES and not hidden:
            number = numbers.get(shards.sample_key(member.name)[0]) if numbers else None
            found.append(_Found(member, path.parent.parts, number))
    return found


def _read_number(member: shards.Member) -> int:
    """The class that a ``.cls`` member names."""
    with member.open() as file:
        text = file.read(_MAX_NUMBER_BYTES).decode("ascii", errors="replace").strip()
    if not text.isdecimal() or int(text) >= MAX_CLASSES:
        raise UserError(
            f"class {member}", expected=f"a number from 0 to {MAX_CLASSES - 1}", got=repr(text)
        )
    return int(text)


def _number(found: Sequence[_Found]) -> tuple[list[int], tuple[str, ...]]:
    """The number of each image's class, and the names of the classes."""
    numbers = [image.number for image in found if image.number is not None]
    if len(numbers) == len(found):
        return numbers, tuple(map(str, range(max(numbers) + 1)))
    if numbers:
        without = next(image.source for image in found if image.number is None)
        raise UserError(f"{without}: expected a .cls file beside it, as other images have")
    names = [image.folders[0] if image.folders else None for image in found]
    if None in names:
        if any(names):
            where = next(image.source for image, name in zip(found, names, strict=True) if not name)
            message = f"no classes are taken from folders, since {where} lies beside them"
            warnings.warn(message, stacklevel=3)
        return [0] * len(found), ()
    classes = tuple(sorted({name for name in names if name}, key=images.natural_order))
    numbered = {name: number for number, name in enumerate(classes)}
    return [numbered[name] for name in names if name], classes


def _count_shared(paths: Sequence[tuple[str, ...]]) -> int:
    """How many leading folders all the paths have in common."""
    first, last = min(paths), max(paths)
    count = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        count += 1
    return count

"""Where videos are: files, folders of frames and tar shards under one root."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalable_binding.data import shards
from scalable_binding.data.frames import containers, images
from scalable_binding.data.shards import Member
from scalable_binding.errors import UserError


class UnusableVideoWarning(UserWarning):
    """A video gave no clip, and another one took its place."""


@dataclass(frozen=True)
class FrameFolder:
    """Frames that lie one by one in a folder or a shard, in the order in which they are shown."""

    name: str
    frames: tuple[Path, ...] | tuple[Member, ...]

    def __str__(self) -> str:
        return self.name


Video = Path | Member | FrameFolder

_STILLS = images.SUFFIXES - containers.SUFFIXES
"""A GIF among other files is a video of its own."""


def find_videos(root: Path) -> list[Video]:
    """Every video under ``root``, at any depth, in a fixed order.

    A video is a file with a video's suffix, a folder in which images lie, or, in a ``.tar`` shard
    of webdataset's layout, a member with a video's suffix or the images of one sample
    (``walk.000.jpg``, ``walk.001.jpg``) or of one folder. ``root`` itself may be any of them.
    Hidden files and folders are left out; so are, with a warning, folders in which a frame and its
    mask seem to lie together, and pictures of kinds that are not read.

    Raises:
        UserError: nothing is at ``root``, or no video is found there.
    """
    if not root.exists():
        raise UserError(f"no such file or folder: {root}")
    found: list[Video] = []
    others: list[str] = []
    for folder, names in walk(root):
        frames = [name for name in names if Path(name).suffix.lower() in _STILLS]
        others += names
        if frames and _are_frames(folder, frames):
            ordered = sorted(frames, key=images.natural_order)
            found.append(FrameFolder(str(folder), tuple(folder / name for name in ordered)))
        for name in names:
            if Path(name).suffix.lower() in containers.SUFFIXES:
                found.append(folder / name)
            elif name.lower().endswith(".tar"):
                found.extend(_in_shard_if_sound(folder / name))
    images.warn_of_others(str(root), others)
    if not found:
        raise UserError(
            f"no videos under {root}", expected="video files, folders of frames or .tar shards"
        )
    return found


def _are_frames(folder: Path, names: list[str]) -> bool:
    try:
        images.check_stems(str(folder), names)
    except UserError as error:
        warnings.warn(f"a folder is left out: {error}", UnusableVideoWarning, stacklevel=3)
        return False
    return True


def _in_shard_if_sound(archive: Path) -> list[Video]:
    try:
        return find_in_shard(archive)
    except UserError as error:
        warnings.warn(f"a shard is left out: {error}", UnusableVideoWarning, stacklevel=3)
        return []


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and the files in them; links are followed, but no folder is entered twice."""
    if root.is_file():
        yield root.parent, [root.name]
        return
    entered: set[str] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in entered:
            subfolders.clear()
            continue
        entered.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder), sorted(name for name in names if not name.startswith("."))


def find_in_shard(archive: Path) -> list[Video]:
    """The videos in one tar shard; see ``find_videos``.

    Raises:
        UserError: the archive is missing, compressed or no tar.
    """
    found: list[Video] = []
    groups: dict[str, list[Member]] = {}
    for member in shards.index(archive):
        suffix = Path(member.name).suffix.lower()
        if suffix in containers.SUFFIXES:
            found.append(member)
        elif suffix in images.SUFFIXES:
            key, extension = shards.sample_key(member.name)
            group = key if "." in extension else str(Path(member.name).parent)
            groups.setdefault(group, []).append(member)
    for name, members in sorted(groups.items()):
        ordered = sorted(members, key=lambda member: images.natural_order(member.name))
        found.append(FrameFolder(f"{archive}:{name}", tuple(ordered)))
    return found

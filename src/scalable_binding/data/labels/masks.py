"""Label maps: which object each pixel belongs to."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from torch import Tensor

from scalable_binding import atomic, files
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError

_WHITE = 255
_LOSSY = ("JPEG", "AVIF", "JPEG2000")
_MOSTLY = 0.8
"""Share of an object's pixels that lie between two colors, if the object is a soft edge."""

_STEP = 8
"""Gray levels from a shade to its neighbors, at least; ids in gray masks are often closer."""
_SMALLEST = 16
"""Pixels of the short side of a mask, at least, to tell edges from objects."""


class SoftEdgesWarning(UserWarning):
    """A mask seems to have been smoothed: shades at its edges would be objects of their own."""


def palette() -> UInt8[Tensor, "256 3"]:
    """The RGB color of every id: black for 0, then DAVIS' (PASCAL VOC's) colors, all different.

    The bits of the id go round red, green, blue and fill each color from its highest bit down.
    """
    ids = torch.arange(256)
    colors = torch.zeros(256, 3, dtype=torch.uint8)
    for bit in range(8):
        channel, shift = bit % 3, 7 - bit // 3
        colors[:, channel] |= (((ids >> bit) & 1) << shift).to(torch.uint8)
    return colors


def read(path: str | Path, num_ids: int | None = None) -> UInt8[Tensor, "h w"]:
    """The object id of every pixel: 0 is background.

    How the file codes them is seen from its kind: an indexed PNG holds ids; so does a gray one,
    except that white (255) alone on black is object 1; an RGB one holds colors of the DAVIS
    palette; if any other color occurs, then ids as in a gray one where red, green and blue are
    equal everywhere, else colors of its own, numbered 1, 2, ... in the order of their (red, green,
    blue) with black as background. So are the colors of an indexed PNG in whose palette black has
    another index than 0. Fully transparent pixels are background.

    Args:
        num_ids: the number of objects known to exist; a larger id is an error.

    Raises:
        UserError: the file is missing or damaged, is no mask (a JPEG or another lossy kind, a
            photograph), or has an id above ``num_ids``.
    """
    return read_many([path], num_ids)[0]


def read_many(
    paths: Sequence[str | Path], num_ids: int | None = None
) -> list[UInt8[Tensor, "_ _"]]:
    """The object ids of several masks of one video, by one table of colors over all of them.

    As :func:`read`, but a color means the same object in every file: colors of their own are
    numbered over all files, and a color that an indexed file gives to an id means that id.

    Raises:
        UserError: as :func:`read`.
    """
    return [*stream(paths, num_ids)]


def stream(
    paths: Sequence[str | Path], num_ids: int | None = None
) -> Iterator[UInt8[Tensor, "_ _"]]:
    """The masks that :func:`read_many` gives, one at a time and in bounded memory.

    Files are opened twice: for the colors in them, and for their pixels.

    Raises:
        UserError: as :func:`read`.
    """
    table = _color_table([_open(Path(path)).colors_only() for path in paths])
    for path in paths:
        mask = _open(Path(path))
        ids = mask.ids if mask.codes is None else _look_up(table, mask.codes)
        largest = int(ids.max())
        if num_ids is not None and largest > num_ids:
            expected = f"ids 0 to {num_ids}"
            raise UserError(f"mask {mask.path}", expected=expected, got=f"id {largest}")
        if mask.levels is not None and _has_soft_edges(ids, mask.levels):
            text = f"mask {mask.path} seems to have soft edges: objects as thin as an edge between"
            text += " two others, and between them in color; paint with hard edges"
            warnings.warn(text, SoftEdgesWarning, stacklevel=2)
        yield torch.from_numpy(ids)


@dataclass(frozen=True)
class _Mask:
    """A mask as its file codes it: by ids, or by colors packed into numbers.

    ``known`` are the ids that an indexed file gives to colors; ``levels`` ``(h w c)`` are the gray
    levels or colors of a file without a palette.
    """

    path: Path
    ids: np.ndarray
    codes: np.ndarray | None = None
    known: Mapping[int, int] = field(default_factory=dict)
    levels: np.ndarray | None = None

    def colors_only(self) -> _Mask:
        """What the table of colors is made from: every id and every color once."""
        codes = None if self.codes is None else np.unique(self.codes)
        return _Mask(self.path, np.unique(self.ids), codes, self.known)


def _open(path: Path) -> _Mask:
    with images.opened(path) as image:
        if image.format in _LOSSY or (image.format == "WEBP" and _is_lossy_webp(path)):
            kind = "a lossy WebP" if image.format == "WEBP" else image.format
            raise UserError(
                f"mask {path}: {kind} blurs labels", expected="a PNG", fix="save the mask as PNG"
            )
        return _decode(path, image)


def _is_lossy_webp(path: Path) -> bool:
    """Whether a WebP holds a picture of the lossy kind (a chunk VP8 and a space), or several."""
    content, place = files.read_bytes(path), 12
    while place + 8 <= len(content):
        if content[place : place + 4] in (b"VP8 ", b"ANMF"):
            return True
        size = int.from_bytes(content[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False


def _decode(path: Path, image: Image.Image) -> _Mask:
    if image.mode == "P":
        return _decode_indexed(path, image)
    if image.mode in ("RGB", "RGBA", "PA"):
        pixels = np.asarray(image.convert("RGBA"))
        colors = pixels[..., :3] * (pixels[..., 3:] > 0)
        codes = _pack(colors)
        if len(np.unique(codes)) > 256:
            raise UserError(
                f"mask {path}",
                expected="at most 256 colors, one an object",
                got=f"{len(np.unique(codes))} colors",
                fix="is this a photograph, or a mask that was smoothed when it was resized?",
            )
        return _Mask(path, codes, codes, levels=colors.astype(np.int64))
    if image.mode == "LA":
        levels, alpha = np.moveaxis(np.asarray(image), -1, 0)
        levels = levels * (alpha > 0)
    elif image.mode in ("1", "L") or image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
    else:
        expected = "an indexed, gray or RGB image"
        raise UserError(f"mask {path}", expected=expected, got=image.mode)
    return _Mask(path, _ids_of_levels(path, levels), levels=levels[..., None])


def _decode_indexed(path: Path, image: Image.Image) -> _Mask:
    """The indices as ids; but as colors where black, the background, has another index than 0.

    Paint programs sort a palette by how often its colors are used, or not at all.
    """
    ids = np.array(image)
    clear = image.info.get("transparency")  # the number of a clear color, or alphas of all
    transparent = np.zeros(ids.shape, bool)
    if isinstance(clear, int):
        transparent = ids == clear
    elif clear is not None:
        transparent = np.isin(ids, np.flatnonzero(np.frombuffer(clear, np.uint8) == 0))
    flat = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8)
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[: len(flat) // 3] = flat.reshape(-1, 3)
    codes = _pack(colors)
    used = np.unique(ids[~transparent])
    if len(flat) and codes[0] and (codes[used[used != 0]] == 0).any():
        return _Mask(path, ids, np.where(transparent, 0, codes[ids]))
    ids[transparent] = 0
    known = {int(codes[number]): int(number) for number in used if number and codes[number]}
    return _Mask(path, ids, known=known if len(known) == len(set(used.tolist()) - {0}) else {})


def _ids_of_levels(path: Path, levels: np.ndarray) -> np.ndarray:
    values = np.unique(levels)
    if values[-1] > 255 or values[0] < 0:
        raise UserError(f"mask {path}", expected="ids 0 to 255", got=f"id {values[-1]}")
    if values[-1] == _WHITE and set(values) <= {0, _WHITE}:
        return (levels == _WHITE).astype(np.uint8)
    return levels.astype(np.uint8)


def _color_table(masks: Sequence[_Mask]) -> dict[int, int]:
    """The id of every color that occurs in the masks that are coded by colors."""
    coded = [np.unique(mask.codes) for mask in masks if mask.codes is not None]
    if not coded:
        return {}
    present = np.unique(np.concatenate(coded)).tolist()
    davis = {int(code): number for number, code in enumerate(_pack(palette().numpy()))}
    if all(code in davis for code in present):
        return davis
    if all(code % 0x010101 == 0 for code in present):
        levels = [code // 0x010101 for code in present]
        white = set(levels) <= {0, _WHITE}
        return {level * 0x010101: int(level > 0) if white else level for level in levels}
    table = {0: 0}
    for mask in masks:
        for code, number in mask.known.items():
            if table.setdefault(code, number) != number:
                raise UserError(
                    f"mask {mask.path}: palette",
                    expected="a color for the same id as in the other masks",
                    got=f"#{code:06x} for {number} and {table[code]}",
                )
    taken = {int(number) for mask in masks if mask.codes is None for number in np.unique(mask.ids)}
    free = iter(sorted(set(range(1, 256)) - taken - set(table.values())))
    for code in present:
        if code not in table:
            given = next(free, None)
            if given is None:
                raise UserError("masks", expected="at most 255 objects", got=str(len(present)))
            table[code] = given
    return table


def _look_up(table: Mapping[int, int], codes: np.ndarray) -> np.ndarray:
    present, inverse = np.unique(codes, return_inverse=True)
    ids = np.array([table[code] for code in present.tolist()], dtype=np.uint8)
    return ids[inverse].reshape(codes.shape)


def _has_soft_edges(ids: np.ndarray, levels: np.ndarray) -> bool:
    """Whether an object is nowhere thicker than an edge, and between its neighbors in color."""
    present = np.unique(ids)
    if len(present) < 3 or min(ids.shape) < _SMALLEST:
        return False
    windows = sliding_window_view(np.pad(ids, 1), (3, 3))
    thick = np.unique(ids[(windows == ids[..., None, None]).all(axis=(-2, -1))])
    thin = set(present.tolist()) - set(thick.tolist()) - {0}
    if not thin:
        return False
    around = np.pad(levels.astype(np.int64), ((2, 2), (2, 2), (0, 0)), mode="edge")
    near = sliding_window_view(around, (5, 5), axis=(0, 1))
    lowest, highest = near.min(axis=(-2, -1)), near.max(axis=(-2, -1))
    between = ((lowest < levels - _STEP) & (levels + _STEP < highest)).any(axis=-1)
    return any(between[ids == number].mean() > _MOSTLY for number in thin)


def _pack(colors: np.ndarray) -> np.ndarray:
    red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def write(path: str | Path, ids: UInt8[Tensor, "h w"]) -> None:
    """Writes the ids as an indexed PNG with the DAVIS palette, whole or not at all.

    Raises:
        UserError: the name does not end in .png, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"mask {path}", expected="a name that ends in .png")
    height, width = ids.shape
    image = Image.frombytes("P", (width, height), ids.contiguous().cpu().numpy().tobytes())
    image.putpalette(palette().flatten().tolist())
    with atomic.replacing(path) as temporary:
        image.save(temporary, format="PNG")

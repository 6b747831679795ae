"""Single images and folders of frames."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.data.shards import Member
from scalable_binding.data.zips import ZipMember
from scalable_binding.errors import UserError

Source = Path | Member | ZipMember
"""Where an image is: a file, or in a tar shard, or in a ZIP archive."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
MAX_PIXELS = 2**26
"""Larger pictures (more than 8192 x 8192) are refused before their pixels are decoded."""
MAX_BYTES = 2**29

_ORIENTATION = 0x0112

_DAMAGED = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    struct.error,
)
"""What Pillow raises in a file whose fields are not what they should be."""


@contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Yields an image whose header is read and found sane; what fails inside is the file's fault.

    Raises:
        UserError: the file is missing, is no image, is damaged or is too large.
    """
    try:
        with _bytes(source) as file, Image.open(file) as image:
            check_size(source, image.height, image.width)
            yield image
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"no such file: {source}") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{source}: too many pixels", expected=f"at most {MAX_PIXELS}") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{source}: cannot be read as an image (of no known kind)") from error
    except _DAMAGED as error:
        raise UserError(f"{source}: cannot be read as an image ({error})") from error


def _bytes(source: Source) -> io.BufferedReader | io.BytesIO:
    if isinstance(source, Path):
        return source.open("rb")
    if source.size > MAX_BYTES:
        raise UserError(
            f"image {source}", expected=f"at most {MAX_BYTES} bytes", got=str(source.size)
        )
    with source.open() as file:
        return io.BytesIO(file.read())


def check_size(source: Source, height: int, width: int) -> None:
    """Nothing, when a picture of this size is fit to decode.

    Raises:
        UserError: it has no pixels or more than ``MAX_PIXELS``.
    """
    if not 0 < height * width <= MAX_PIXELS:
        raise UserError(
            f"{source}: picture size",
            expected=f"1 to {MAX_PIXELS} pixels",
            got=f"{height} x {width}",
        )


def short_side(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Height and width when the shorter of the two becomes ``size`` pixels (None: as they are).

    >>> short_side(480, 854, 240)
    (240, 427)
    """
    if size is None:
        return height, width
    scale = size / min(height, width)
    return max(size, round(height * scale)), max(size, round(width * scale))


def probe(source: Source) -> tuple[int, int]:
    """Height and width in pixels, as the picture is meant to be seen, from the header alone."""
    with opened(source) as image:
        sideways = image.getexif().get(_ORIENTATION, 1) >= 5
        return (image.width, image.height) if sideways else (image.height, image.width)


def read(source: str | Source, *, size: int | None = None) -> UInt8[Tensor, "3 h w"]:
    """The image's RGB pixels, turned as its EXIF orientation says.

    With ``size`` the short side is resized to that many pixels, smoothly and without aliasing.
    Gray becomes RGB, 16 bits become 8, transparency is dropped. In memory the colors of a pixel
    lie together.

    Raises:
        UserError: the file is missing, is no image, is damaged or is too large.
    """
    source = Path(source) if isinstance(source, str) else source
    with opened(source) as image:
        upright = _to_upright_rgb(image)
        height, width = short_side(upright.height, upright.width, size)
        if (height, width) != (upright.height, upright.width):
            upright = upright.resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(upright)).permute(2, 0, 1)


def read_middle(source: Source, height: int, width: int) -> UInt8[Tensor, "3 h w"]:
    """The largest middle part of an image that has the shape asked for, resized to it.

    Colors as in ``read``; the resizing is bicubic and without aliasing. Large JPEGs are decoded at
    a fraction of their size, never at less than twice the size asked for.

    Raises:
        UserError: the file is missing, is no image, is damaged or is too large.
    """
    longer = 2 * max(height, width)
    with opened(source) as image:
        if min(image.size) > longer:
            image.draft(None, (longer, longer))
        upright = _to_upright_rgb(image)
        if upright.size == (width, height):
            return torch.from_numpy(np.array(upright)).permute(2, 0, 1)
        scale = min(upright.height / height, upright.width / width)
        left, top = (upright.width - scale * width) / 2, (upright.height - scale * height) / 2
        box = (left, top, upright.width - left, upright.height - top)
        resized = upright.resize((width, height), Image.Resampling.BICUBIC, box)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _to_upright_rgb(image: Image.Image) -> Image.Image:
    """The image in RGB, turned as its EXIF orientation says."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; convert it to 8 or 16 bits")
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        levels = (np.asarray(image, dtype=np.float32) / 257).clip(0, 255)
        image = Image.fromarray(levels.astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def write(path: str | Path, image: UInt8[Tensor, "3 h w"]) -> None:
    """Writes a PNG, JPEG, ... as the suffix says, whole or not at all.

    Raises:
        UserError: the suffix is no image's, or the file cannot be written.
    """
    path = Path(path)
    check_suffix(path, path.suffix)
    with atomic.replacing(path) as temporary:
        save(temporary, image, path.suffix)


def check_suffix(path: Path, suffix: str) -> None:
    """Nothing, when the suffix is that of an image.

    Raises:
        UserError: it is not.
    """
    if suffix.lower() not in SUFFIXES:
        raise UserError(f"image {path}", expected="a name like frame.png or frame.jpg")


def save(path: Path, image: UInt8[Tensor, "3 h w"], suffix: str) -> None:
    """Writes an image of the suffix's kind straight to a path; JPEG at quality 95."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    picture.save(path, format=Image.registered_extensions()[suffix.lower()], quality=95)


def natural_order(name: str) -> list[tuple[int, str]]:
    """A sorting key by which frame2 comes before frame10; no two names have the same."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts] + [(-1, name)]


def list_frames(folder: Path) -> list[Path]:
    """The image files directly in a folder, but for hidden ones, in the natural order of names."""
    frames = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(frames, key=lambda path: natural_order(path.name))

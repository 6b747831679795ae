"""Single images and folders of frames."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from scalable_binding import atomic, files
from scalable_binding.data.shards import Member
from scalable_binding.data.zips import ZipMember
from scalable_binding.errors import UserError

Source = Path | Member | ZipMember
"""Where an image is: a file, or in a tar shard, or in a ZIP archive."""

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}
)

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "AVIF", "PPM", "JPEG2000")
"""Pillow's names of the formats that are opened, whatever a file is called: none of them starts
another program, as Pillow's reader of EPS does."""

OTHER_KINDS = frozenset(
    {".heic", ".heif", ".jxl", ".tga", ".psd", ".exr", ".hdr", ".svg", ".eps", ".ico", ".dds"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".raw", ".pcx", ".xcf"}
    | {".dcm", ".icns", ".sgi", ".jxr", ".j2k", ".jpf"}
)
"""Suffixes of pictures that are not read; who leaves them out says how many."""

MAX_PIXELS = 2**26
"""Larger pictures (more than 8192 x 8192) are refused before their pixels are decoded."""
MAX_BYTES = 2**29

_SIGNATURES = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP",
    b"P4\n", b"P5\n", b"P6\n",
)  # fmt: skip

_ORIENTATION = 0x0112

_WHITES = (2**8 - 1, 2**12 - 1, 2**16 - 1)
"""The brightest levels of 8, 12 and 16 bits, as cameras put them into wider integers."""

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


class DarkImageWarning(UserWarning):
    """An image uses so few of its levels that it is shown with another one as white."""


@contextmanager
def opened(source: Source) -> Iterator[Image.Image]:
    """Yields an image whose header is read and found sane; what fails inside is the file's fault.

    Raises:
        UserError: the file is missing, is no image, is damaged or is too large.
    """
    try:
        with _bytes(source) as file, Image.open(file, formats=FORMATS) as image:
            check_size(source, image.height, image.width)
            yield image
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"{source}: too many pixels", expected=f"at most {MAX_PIXELS}") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{source}: cannot be read as an image (of no known kind)") from error
    except _DAMAGED as error:
        raise UserError(f"{source}: cannot be read as an image ({error})") from error


def is_image(head: bytes) -> bool:
    """Whether a file that begins with these bytes claims to be an image of one of the kinds."""
    return head.startswith(_SIGNATURES) or head[4:12] in (b"ftypavif", b"ftypavis")


def _bytes(source: Source) -> io.BufferedReader | io.BytesIO:
    if isinstance(source, Path):
        return files.open_regular(source)
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
    Gray becomes RGB, 16 bits become 8 (12 bits in 16 too, with a ``DarkImageWarning``), what is
    transparent is shown on white, and of moving pictures the first one is taken. In memory the
    colors of a pixel lie together.

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
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        return on_white(image.convert("RGBA"))
    return image if image.mode == "RGB" else image.convert("RGB")


def on_white(image: Image.Image) -> Image.Image:
    """An RGBA image laid over white, as RGB; the colors under full transparency do not show."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """A gray image of 16 or 32-bit integers, brightest at 65535, or at 4095 or 255 with a warning.

    Raises:
        ValueError: its levels are negative or need more than 16 bits.
    """
    levels = np.asarray(image).astype(np.int64)
    least, most = int(levels.min()), int(levels.max())
    if least < 0 or most >= 2**16:
        raise ValueError(f"its levels go from {least} to {most}; convert it to 8 or 16 bits")
    white = next(white for white in _WHITES if most <= white)
    if most > 0 and white < _WHITES[-1]:
        text = f"a picture of more than 8 bits a color is no brighter than {most}"
        warnings.warn(f"{text}; {white} is taken for white", DarkImageWarning, stacklevel=4)
    return Image.fromarray(np.rint(levels * (255 / white)).astype(np.uint8))


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
    """The image files directly in a folder, but for hidden ones, in the natural order of names.

    Pictures of kinds that are not read, and a folder with several kinds, are warned of.

    Raises:
        UserError: two files differ only in their suffix, as a frame and its mask do.
    """
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    frames = [path for path in paths if path.suffix.lower() in SUFFIXES]
    check_stems(str(folder), [path.name for path in frames])
    warn_of_others(str(folder), [path.name for path in paths])
    kinds = Counter(path.suffix.lower() for path in frames)
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        warnings.warn(f"{folder}: all of {counts} are taken as frames", MixedFilesWarning, 3)
    return sorted(frames, key=lambda path: natural_order(path.name))


class MixedFilesWarning(UserWarning):
    """A folder holds pictures that are left out, or of several kinds."""


def check_stems(folder: str, names: Iterable[str]) -> None:
    """Nothing, when no two names of frames differ only in their suffix.

    Raises:
        UserError: two do.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.rpartition(".")[0], name)
        if other != name:
            raise UserError(
                f"{folder}: {min(name, other)} and {max(name, other)} would be one frame",
                fix="is one of them a mask? keep frames alone in their folder",
            )


def warn_of_others(folder: str, names: Iterable[str]) -> None:
    """Warn of pictures of kinds that are not read, with their number."""
    suffixes = (f".{name.rpartition('.')[2].lower()}" for name in names if "." in name)
    counts = Counter(suffix for suffix in suffixes if suffix in OTHER_KINDS)
    if counts:
        listed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
        text = f"{folder}: {counts.total()} pictures of kinds that are not read are left out"
        warnings.warn(f"{text}: {listed}; convert them to PNG or JPEG", MixedFilesWarning, 3)

"""Label maps: which object each pixel belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scalable_binding import atomic
from scalable_binding.data.frames import images
from scalable_binding.errors import UserError

_WHITE = 255


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
    blue) with black as background. Fully transparent pixels are background.

    Args:
        num_ids: the number of objects known to exist; a larger id is an error.

    Raises:
        UserError: the file is missing or damaged, is no mask (a JPEG, a photograph), or has an id
            above ``num_ids``.
    """
    path = Path(path)
    with images.opened(path) as image:
        if image.format == "JPEG":
            raise UserError(
                f"mask {path}: JPEG blurs labels", expected="a PNG", fix="save the mask as PNG"
            )
        ids = _decode(path, image)
    largest = int(ids.max())
    if num_ids is not None and largest > num_ids:
        raise UserError(f"mask {path}", expected=f"ids 0 to {num_ids}", got=f"id {largest}")
    return torch.from_numpy(ids)


def _decode(path: Path, image: Image.Image) -> np.ndarray:
    if image.mode == "P":
        ids = np.array(image)
        clear = image.info.get("transparency")  # the number of a clear color, or alphas of all
        if isinstance(clear, int):
            ids[ids == clear] = 0
        elif clear is not None:
            alphas = np.frombuffer(clear, np.uint8)
            ids[np.isin(ids, np.flatnonzero(alphas == 0))] = 0
        return ids
    if image.mode in ("RGB", "RGBA", "PA"):
        pixels = np.asarray(image.convert("RGBA"))
        colors = pixels[..., :3] * (pixels[..., 3:] > 0)
        return _ids_of_colors(path, colors)
    if image.mode == "LA":
        levels, alpha = np.moveaxis(np.asarray(image), -1, 0)
        return _ids_of_levels(path, levels * (alpha > 0))
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return _ids_of_levels(path, np.asarray(image).astype(np.int64))
    raise UserError(f"mask {path}", expected="an indexed, gray or RGB image", got=image.mode)


def _ids_of_levels(path: Path, levels: np.ndarray) -> np.ndarray:
    values = np.unique(levels)
    if values[-1] > 255 or values[0] < 0:
        raise UserError(f"mask {path}", expected="ids 0 to 255", got=f"id {values[-1]}")
    if values[-1] == _WHITE and set(values) <= {0, _WHITE}:
        return (levels == _WHITE).astype(np.uint8)
    return levels.astype(np.uint8)


def _ids_of_colors(path: Path, colors: np.ndarray) -> np.ndarray:
    codes = _pack(colors)
    present, inverse = np.unique(codes, return_inverse=True)
    if len(present) > 256:
        raise UserError(
            f"mask {path}",
            expected="at most 256 colors, one an object",
            got=f"{len(present)} colors",
            fix="is this a photograph, or a mask that was smoothed when it was resized?",
        )
    known = _pack(palette().numpy())
    if np.isin(present, known).all():
        ids = np.argsort(known)[np.searchsorted(np.sort(known), present)]
    elif (colors == colors[..., :1]).all():
        return _ids_of_levels(path, colors[..., 0])
    else:
        own = present[present != 0]
        if len(own) > 255:
            raise UserError(f"mask {path}", expected="at most 255 objects", got=str(len(own)))
        ids = np.searchsorted(own, present) + (present != 0)
    return ids.astype(np.uint8)[inverse].reshape(codes.shape)


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

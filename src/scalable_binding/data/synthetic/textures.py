"""Textures: crops of photographs and generated patterns, at random scales and in random colors.

The photographs are those inside the wheels of scikit-image (the extra ``photos``) and
scikit-learn; nothing is ever downloaded. Where neither is installed only generated textures are
left (fractal noise, cells, stripes, blobs), and a warning says so once. A scene therefore depends
on its configuration, its seed, and on which of the two packages are there.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from scalable_binding.data.frames import images
from scalable_binding.data.synthetic import patterns
from scalable_binding.data.synthetic.config import Split, WorldConfig
from scalable_binding.data.synthetic.geometry import Points
from scalable_binding.data.synthetic.shapes import sample
from scalable_binding.errors import UserError

Pyramid = list[Float32[Tensor, "3 _ _"]]
"""An image, then halves of it as long as a side has 32 pixels."""

Item = TypeVar("Item")

_SCIKIT_IMAGE = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
_SHIPPED = {
    "skimage": tuple(f"data/{name}" for name in _SCIKIT_IMAGE),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
}
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
_LARGEST = 800  # pixels of a photograph's longer side: bounds what a process keeps in memory
_GENERATED = 32
_HELD_OUT = 4  # every fourth texture is held out


@dataclass(frozen=True)
class Texture:
    """A picture laid over a surface, mirrored at its edges so that it has no end.

    ``to_picture`` (two rows of factors of x and y) maps coordinates of the surface to [-1, 1] from
    edge to edge of the picture; ``density`` is the number of its pixels to a unit of the surface.
    """

    pyramid: Pyramid
    to_picture: tuple[tuple[float, float], tuple[float, float]]
    density: float

    def color(self, points: Points, scale: float) -> Float32[Tensor, "3 ..."]:
        """Colors in [0, 1] at points of a surface shown at ``scale`` screen pixels to a unit."""
        level = round(float(np.log2(max(self.density / scale, 1))))
        (a, b), (c, d) = self.to_picture
        x, y = points
        picture = self.pyramid[min(level, len(self.pyramid) - 1)]
        return sample(picture, a * x + b * y, c * x + d * y, "reflection")


def draw(
    rng: np.random.Generator,
    config: WorldConfig,
    *,
    extent: tuple[float, float],
    scale: float,
    magnified: float,
    angle: float = 0.0,
) -> Texture:
    """A random texture for a surface.

    A random window of a random picture at a random scale, perhaps mirrored, in changed colors.

    Args:
        rng: where the draws come from.
        config: which textures to draw from.
        extent: half-lengths of the surface that the window should cover, in its units.
        scale: screen pixels to a unit of the surface.
        magnified: the largest number of screen pixels that one pixel of the picture may take.
        angle: by which the picture is turned, in radians.
    """
    rng = np.random.default_rng(rng.integers(2**63))  # the caller's next draws depend on no picture
    pictures = bank(rng.random() < config.photograph_rate, config.split, config.images)
    pyramid = pictures[int(rng.integers(len(pictures)))]
    half = np.asarray(extent) * scale  # of the window, in screen pixels
    sides = np.array([pyramid[0].shape[2], pyramid[0].shape[1]])
    reduction = np.exp(rng.uniform(np.log(1 / magnified), np.log(4)))
    reduction = min(reduction, max(1 / magnified, float((sides / (2 * half)).min())))
    level = int(np.clip(round(float(np.log2(reduction))), 0, len(pyramid) - 1))
    window, sides = _window(rng, pyramid[level], half * reduction / 2**level)
    density = scale * reduction / 2**level
    flip = rng.choice([-1.0, 1.0])
    per_x, per_y = (2 * density / sides * [flip, 1.0]).tolist()
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return Texture(
        pyramid=_halves(_recolor(rng, window)),
        to_picture=((per_x * cos, per_x * sin), (-per_y * sin, per_y * cos)),
        density=density,
    )


def _window(
    rng: np.random.Generator, picture: Float32[Tensor, "3 s1 s2"], half: np.ndarray
) -> tuple[Float32[Tensor, "3 w1 w2"], np.ndarray]:
    """A window of at most the given half-lengths, and its width and height."""
    sides = np.array([picture.shape[2], picture.shape[1]])
    wanted = np.minimum(np.ceil(2 * half).astype(int).clip(16), sides)
    x, y = (int(rng.integers(room + 1)) for room in sides - wanted)
    return picture[:, y : y + wanted[1], x : x + wanted[0]], wanted


def _recolor(
    rng: np.random.Generator, picture: Float32[Tensor, "3 s1 s2"]
) -> Float32[Tensor, "3 s1 s2"]:
    """The picture with another contrast, saturation, tint and, sometimes, order of channels."""
    gray = np.full((3, 3), 1 / 3)
    saturation = rng.uniform(0.5, 1.4)
    mix = saturation * np.eye(3) + (1 - saturation) * gray
    if rng.random() < 0.25:
        mix = mix[rng.permutation(3)]
    gain = rng.uniform(0.75, 1.2) * np.exp(rng.normal(scale=0.1, size=3))
    mix = gain[:, None] * mix
    lift = rng.uniform(-0.08, 0.12, size=3)
    flat = torch.from_numpy(mix).float() @ picture.reshape(3, -1)
    return flat.add_(torch.from_numpy(lift).float()[:, None]).clamp_(0, 1).reshape(picture.shape)


def bank(photographs: bool, split: Split, images: str | None) -> list[Pyramid]:
    """All photographs, or all generated textures, of a split; made once a process."""
    return (_photograph_bank(split, images) if photographs else None) or _generated_bank(split)


@lru_cache(maxsize=4)
def _photograph_bank(split: Split, images: str | None) -> list[Pyramid]:
    paths = _split(list(_photographs(images)), split)
    if not paths:
        warnings.warn(
            "no photographs for the synthetic world: using generated textures only "
            "(install the extra `photos` for scikit-image's photographs)",
            stacklevel=2,
        )
    return [_halves(read(path)) for path in paths]


@lru_cache(maxsize=4)
def _generated_bank(split: Split) -> list[Pyramid]:
    seeds = _split(list(range(_GENERATED)), split)
    return [_halves(patterns.draw(np.random.default_rng([7, seed]))) for seed in seeds]


def _split(items: list[Item], split: Split) -> list[Item]:
    if split == "all":
        return items
    return [item for i, item in enumerate(items) if (i % _HELD_OUT == 1) is (split == "held_out")]


def _photographs(images: str | None) -> Iterator[Path]:
    if images is not None:
        found = sorted(path for path in Path(images).rglob("*") if path.suffix.lower() in _SUFFIXES)
        if len(found) < _HELD_OUT:
            raise UserError(
                f"texture folder {images}",
                expected=f"at least {_HELD_OUT} images",
                got=str(len(found)),
            )
        yield from found
        return
    for package, names in _SHIPPED.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent
            yield from (folder / name for name in names if (folder / name).is_file())


def read(path: Path) -> Float32[Tensor, "3 s1 s2"]:
    """An image as RGB in [0, 1], made smaller if it is very large.

    Raises:
        UserError: the file is no image, or damaged.
    """
    with images.opened(path) as file:
        file.draft("RGB", (2 * _LARGEST, 2 * _LARGEST))
        image = file.convert("RGB")
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255).contiguous()


def _halves(picture: Float32[Tensor, "3 s1 s2"]) -> Pyramid:
    pyramid = [picture]
    while min(pyramid[-1].shape[1:]) >= 64 and len(pyramid) < 4:
        pyramid.append(avg_pool2d(pyramid[-1][None], 2)[0])
    return pyramid

"""Videos of digits that bounce over a black or still background, with masks of what moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from scalable_binding.data.datasets import digits
from scalable_binding.data.datasets.digits import Split
from scalable_binding.errors import UserError, require


@dataclass(frozen=True, kw_only=True)
class MovingDigitsConfig:
    """The distribution that the videos are drawn from; a pair is a range to draw from.

    Attributes:
        num_frames: frames in a video.
        size: side of the square frames, in pixels.
        num_digits: how many digits move.
        magnification: side of a digit's pixel, in pixels of the frame.
        speed: pixels that a digit moves in a frame.
        background: the brightest that the background may be, 1 being ink; 0 is black, as in the
            field's moving digits.

    Raises:
        UserError: a number or a range makes no sense, or a digit does not fit into the frame.
    """

    num_frames: int = 12
    size: int = 32
    num_digits: tuple[int, int] = (1, 2)
    magnification: float = 1.5
    speed: tuple[float, float] = (0.5, 2.0)
    background: float = 0.0

    def __post_init__(self) -> None:
        for name in ("num_digits", "speed"):
            low, high = pair = getattr(self, name)
            expected = "a range 0 <= low <= high"
            require(f"moving digits, {name}", pair, 0 <= low <= high, expected)
        count, scale = self.num_digits, self.magnification
        require("moving digits, num_digits", count, count[0] >= 1, "at least 1 digit")
        require("moving digits, num_frames", self.num_frames, self.num_frames >= 1, "at least 1")
        require("moving digits, background", self.background, 0 <= self.background <= 1, "0 to 1")
        require("moving digits, magnification", scale, scale > 0, "above 0")
        least = 1 + self.size - self.room
        require("moving digits, size", self.size, self.room >= 1, f"at least {least:g}")

    @property
    def room(self) -> float:
        """How far a digit's corner can move, in pixels."""
        return self.size - digits.SIDE * self.magnification


@dataclass(frozen=True)
class MovingScene:
    """A video and the truth about it.

    Attributes:
        video: gray.
        masks: where any digit has ink, however faint.
        labels: which digits there are, the last one in front.
        positions: x, y of each digit's top left corner in pixels.
        velocities: x, y in pixels a frame, before the first bounce.
    """

    video: UInt8[Tensor, "1 t h w"]
    masks: Bool[Tensor, "t h w"]
    labels: Int64[Tensor, " n"]
    positions: Float32[Tensor, "t n 2"]
    velocities: Float32[Tensor, "n 2"]


class MovingDigits(Dataset[dict[str, Tensor]]):
    """Another video for every index >= 0, without end: a pure function of (seed, index).

    An item is ``{"video": uint8 (1 t h w), "index": int64 ()}``; ``scene(index)`` tells the whole
    truth about it and ``masks(index)`` what moves.

    Args:
        config: what the videos look like.
        split: of the digits that are shown; see
            :class:`~scalable_binding.data.datasets.digits.Digits`.
        seed: of everything random.

    Raises:
        UserError: scikit-learn, which brings the digits, is not installed; the seed is negative.
    """

    def __init__(
        self,
        config: MovingDigitsConfig | None = None,
        split: Split = "train",
        *,
        seed: int = 0,
    ) -> None:
        if seed < 0:
            raise UserError("seed of moving digits", expected="at least 0", got=str(seed))
        self.config = config or MovingDigitsConfig()
        self.seed = seed
        self._images, self._labels = digits.load(split)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"video": self.scene(index).video, "index": torch.tensor(index)}

    def masks(self, index: int) -> Bool[Tensor, "t h w"]:
        """Where the digits of a video are, frame by frame."""
        return self.scene(index).masks

    def scene(self, index: int) -> MovingScene:
        """The video of an index with the truth about it.

        Raises:
            IndexError: the index is negative.
        """
        if index < 0:
            raise IndexError(f"videos are numbered from 0, got {index}")
        config, rng = self.config, np.random.default_rng((self.seed, index))
        count = int(rng.integers(config.num_digits[0], config.num_digits[1] + 1))
        chosen = torch.from_numpy(rng.integers(len(self._images), size=count))
        heading, speed = rng.uniform(0, 2 * np.pi, count), rng.uniform(*config.speed, count)
        velocities = speed[:, None] * np.stack((np.cos(heading), np.sin(heading)), axis=-1)
        starts = rng.uniform(0, config.room, (count, 2))
        positions = torch.from_numpy(bounce(starts, velocities, config)).float()
        gray = draw_background(rng, config).expand(config.num_frames, -1, -1)
        inked = torch.zeros(gray.shape, dtype=torch.bool)
        for number, image in enumerate(self._images[chosen, 0]):
            ink = place(image.float() / 255, positions[:, number], config)
            gray = gray + ink * (1 - gray)
            inked |= ink > 0
        return MovingScene(
            video=rearrange((gray * 255).round().byte(), "t h w -> 1 t h w"),
            masks=inked,
            labels=self._labels[chosen],
            positions=positions,
            velocities=torch.from_numpy(velocities).float(),
        )


def bounce(
    starts: Float[np.ndarray, "n 2"],
    velocities: Float[np.ndarray, "n 2"],
    config: MovingDigitsConfig,
) -> Float[np.ndarray, "t n 2"]:
    """The corners in every frame: straight lines, folded back where they leave the room."""
    free = starts + np.arange(config.num_frames)[:, None, None] * velocities
    return config.room - np.abs(free % (2 * config.room) - config.room)


def draw_background(
    rng: np.random.Generator, config: MovingDigitsConfig
) -> Float32[Tensor, "1 h w"]:
    """A random gray surface in [0, background], smooth between 5 x 5 drawn levels."""
    levels = torch.from_numpy(rng.uniform(0, config.background, (1, 1, 5, 5))).float()
    size = (config.size, config.size)
    return torch.nn.functional.interpolate(levels, size, mode="bilinear", align_corners=True)[0]


def place(
    image: Float32[Tensor, "side side"],
    corners: Float32[Tensor, "t 2"],
    config: MovingDigitsConfig,
) -> Float32[Tensor, "t h w"]:
    """A magnified image with its corner at (x, y), interpolated linearly between its pixels."""
    sides = torch.arange(len(image))
    weights = []
    for axis in (1, 0):
        inside = torch.arange(config.size) + 0.5 - corners[:, axis, None]
        distance = inside[..., None] / config.magnification - 0.5 - sides
        weights.append((1 - distance.abs()).clamp(min=0))
    rows, columns = weights
    return torch.einsum("thi,ij,twj->thw", rows, image, columns)

"""What a synthetic world looks like: one frozen configuration, and the named ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scalable_binding.errors import require

MAX_PARTS_PER_OBJECT = 9

Split = Literal["all", "train", "held_out"]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """The distribution that scenes are drawn from; a pair is a range to draw from, once a scene.

    Lengths are in units of the frame's shorter side, angles in radians and rates per frame, so that
    the same seed shows the same shapes and motion at every ``height`` and ``width`` of one aspect
    ratio. Textures are as sharp at every size, and for that show other windows of the pictures.

    Attributes:
        height, width, num_frames: the clip, in pixels and frames.
        time_step: time between frames in units of the rates below: 2 is half the frame rate, and
            0 shows the same instant again and again.
        num_objects: how many objects have a mask; ``num_scenery``: static shapes without one,
            some of them in front, that move only by the camera's parallax.
        object_size: radius of an object's body. Limbs reach out further.
        limb_rate: share of the objects with parts that swing about joints (limbs or a chain).
        speed: how far an object goes in a frame, drawn log-uniformly for every object.
        turn, growth: fastest rotation, and fastest relative change of size and of aspect.
        deformation: largest amplitude of the waves that bend an object, in body radii.
        swing: largest amplitude of a joint's angle.
        camera_speed, camera_turn, camera_zoom: fastest pan, rotation and relative zoom.
        follow_rate: share of the scenes whose camera follows an object.
        light: strength of the changing light (log gain); ``shade``: darkening towards outlines,
            as on round bodies; ``shadow``: darkness of the shadow an object throws.
        noise: largest standard deviation of sensor noise, in units of full intensity.
        motion_blur: largest shutter time, in frames; 0 turns it off. ``blur_samples``: instants
            averaged in a blurred frame, which multiply the cost.
        blur_rate: share of the scenes with motion blur.
        photograph_rate: share of the surfaces that show a photograph; the others show a generated
            pattern. ``split``: which of them, so that scenes to
            score on can be made of textures never trained on.
        images: a folder of the user's own images (searched recursively) used in place of the
            photographs that ship.

    Raises:
        UserError: a number or a range makes no sense.
    """

    height: int = 256
    width: int = 256
    num_frames: int = 4
    time_step: float = 1.0
    num_objects: tuple[int, int] = (3, 4)
    num_scenery: tuple[int, int] = (0, 5)
    object_size: Range = (0.08, 0.22)
    limb_rate: float = 0.65
    speed: Range = (0.004, 0.06)
    turn: float = 0.1
    growth: float = 0.03
    deformation: float = 0.12
    swing: float = 0.7
    camera_speed: float = 0.04
    camera_turn: float = 0.02
    camera_zoom: float = 0.015
    follow_rate: float = 0.3
    light: float = 0.3
    shade: float = 0.5
    shadow: float = 0.5
    noise: float = 0.02
    motion_blur: float = 0.0
    blur_samples: int = 5
    blur_rate: float = 0.3
    photograph_rate: float = 0.65
    split: Split = "all"
    images: str | None = None

    def __post_init__(self) -> None:
        values = vars(self)
        for name in ("height", "width", "num_frames", "blur_samples"):
            require(f"synthetic world, {name}", values[name], values[name] >= 1, "at least 1")
        for name in ("num_objects", "num_scenery", "object_size", "speed"):
            low, high = pair = values[name]
            expected = "a range 0 <= low <= high"
            require(f"synthetic world, {name}", pair, 0 <= low <= high, expected)
        for name in ("object_size", "speed"):
            pair = values[name]
            require(f"synthetic world, {name}", pair, pair[0] > 0, "a range above 0")
        most = self.num_objects[1]
        require("synthetic world, num_objects", self.num_objects, most <= 28, "at most 28 objects")
        for name in ("limb_rate", "follow_rate", "blur_rate", "shade", "shadow", "photograph_rate"):
            require(f"synthetic world, {name}", values[name], 0 <= values[name] <= 1, "0 to 1")
        for name in ("turn", "growth", "deformation", "swing", "camera_speed", "camera_turn"):
            require(f"synthetic world, {name}", values[name], values[name] >= 0, "at least 0")
        for name in ("camera_zoom", "light", "noise", "motion_blur", "time_step"):
            require(f"synthetic world, {name}", values[name], values[name] >= 0, "at least 0")

    @property
    def shorter(self) -> int:
        """The frame's shorter side in pixels: the world's unit of length."""
        return min(self.height, self.width)

    @property
    def half_extent(self) -> tuple[float, float]:
        """Half of the frame's width and height in units of the world."""
        return self.width / (2 * self.shorter), self.height / (2 * self.shorter)


def training(*, size: int = 256, num_frames: int = 4) -> WorldConfig:
    """Short square clips of everything at once, to train on."""
    return WorldConfig(height=size, width=size, num_frames=num_frames, split="train")


def evaluation(*, height: int = 256, width: int = 448, num_frames: int = 40) -> WorldConfig:
    """Long clips of textures that ``training`` never shows, slower motion: to score on."""
    return WorldConfig(
        height=height,
        width=width,
        num_frames=num_frames,
        split="held_out",
        speed=(0.004, 0.025),
        turn=0.04,
        growth=0.015,
        camera_speed=0.012,
    )


def noiseless(*, size: int = 256, num_frames: int = 4) -> WorldConfig:
    """Scenes in which a surface point keeps its color: to test and to train optical flow on."""
    return WorldConfig(
        height=size, width=size, num_frames=num_frames, light=0.0, shadow=0.0, noise=0.0
    )

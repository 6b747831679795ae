"""Settings of a reader and of its calibration. Torch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scalable_binding.errors import UserError, require

PUBLIC_NAMES = {
    "dino-s16": "facebook/dino-vits16",
    "dino-s8": "facebook/dino-vits8",
    "dino-b16": "facebook/dino-vitb16",
    "dino-b8": "facebook/dino-vitb8",
    "dinov2-s14": "facebook/dinov2-small",
    "dinov2-b14": "facebook/dinov2-base",
    "dinov2-l14": "facebook/dinov2-large",
    "dinov3-s16": "facebook/dinov3-vits16-pretrain-lvd1689m",
    "dinov3-b16": "facebook/dinov3-vitb16-pretrain-lvd1689m",
}
"""Short names of public backbones, and their repositories on the hub."""


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """How the maps of a backbone become features: the arguments of ``Reader``.

    Args:
        stages: those that are read, side by side; 0 is the image's own colors, the stage after the
            last is the head's output.
        windows: odd sides, in cells, of the squares over which each stage is averaged.
        weights: of the parts, in the order of (stage, window) pairs; none makes all count alike.
        components: of the whitening of each part; none compares parts as they are.
        contrast: share of a similarity of whitened vectors that varies.
        stride: pixels from cell to cell; strides of the backbone beyond it are taken out. None
            leaves that of the deepest stage.
        dilate: convolutions after a stride that was taken out are dilated by it.
        scale: frames are resized by this factor before the backbone sees them.
    """

    stages: tuple[int, ...] = (3,)
    windows: tuple[int, ...] = (1,)
    weights: tuple[float, ...] | None = None
    components: int | None = None
    contrast: float = 0.35
    stride: int | None = None
    dilate: bool = True
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """Which features of a backbone carry labels, in place of those that its reader has.

    Args:
        layer: stage of a ResNet or layer of a vision transformer, from 1; by default a
            transformer's last.
        facet: of a vision transformer: the tokens of the layer, or the keys of its attention.
        stride: pixels from cell to cell. Below a transformer's patch size the frame is read in
            shifted passes; strides of a ResNet are taken out.
    """

    layer: int | None = None
    facet: Literal["tokens", "keys"] = "tokens"
    stride: int | None = None

    def __post_init__(self) -> None:
        if self.layer is not None and self.layer < 1:
            raise UserError("layer", expected="at least 1", got=str(self.layer))
        if self.facet not in ("tokens", "keys"):
            raise UserError("facet", expected="tokens or keys", got=str(self.facet))
        if self.stride is not None and self.stride < 2:
            raise UserError("stride", expected="at least 2", got=str(self.stride))


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """Frames of videos that a reader is fitted on.

    Args:
        num_clips: clips to draw, of two frames each.
        size: pixels to which the short side of a video is resized: that of the frames to be read.
        crop: side of the random square that is cut out of a clip, so that all frames are alike.
        seed: of the clips.
        norms: whether batch norms take the frames' statistics; else they keep those of training.
    """

    num_clips: int = 16
    size: int = 480
    crop: int = 384
    seed: int = 0
    norms: bool = True

    def __post_init__(self) -> None:
        require("num_clips", self.num_clips, self.num_clips >= 1, "at least 1")
        if not 16 <= self.crop <= self.size:
            raise UserError("crop", expected=f"16 to size {self.size}", got=str(self.crop))

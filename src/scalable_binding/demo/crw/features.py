"""PCA of the features of two frames, before and after training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding import report
from scalable_binding.crw import model
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.data.frames import images, videos
from scalable_binding.demo.clips import CLIP
from scalable_binding.demo.context import Context
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.report import Section

_SHOWN = (0, 24)
_CALIBRATION = 8
"""Frames of the clip that both encoders take their statistics from."""

_READING = ReadingConfig(layer=3)
"""The third stage alone, as the thesis reads it (3.7.8)."""


def show(context: Context) -> Section:
    """Colors by the three main axes of the features: the untrained network and the trained one.

    Raises:
        UserError: a file cannot be written.
    """
    context.say("Features before and after training")
    frames = videos.read(CLIP / "juggling.mp4")
    some = frames[:: len(frames) // _CALIBRATION][:_CALIBRATION].float() / 255
    shown = frames[list(_SHOWN)]
    rows = [*(titled(frame, f"frame {at}") for at, frame in zip(_SHOWN, shown, strict=True))]
    for name, weights in (("before training", "untrained:0"), ("after training", "shipped")):
        encoder = model.load(weights, frames=some, reading=_READING)
        maps = [encoder.features(frame) for frame in shown]
        rows += [titled(picture, name) for picture in pca_colors(maps, shown.shape[-2:])]
    path = context.out / "features.jpg"
    images.write(path, tiled(rows, columns=len(_SHOWN)))
    said = (
        "Features of the third stage, colored by the three main axes (PCA) of both frames "
        "together: cells of one color are similar for the encoder. Before training they follow "
        "local texture; after it, a body has one color that moves with it."
    )
    return Section(
        name="features",
        title="Features before and after training",
        blocks=[
            report.paragraph(said),
            report.pictures([(path, "Top: two frames. Middle: untrained. Bottom: trained.")]),
        ],
    )


def pca_colors(
    maps: Sequence[Float[Tensor, "d h8 w8"]], size: tuple[int, int] | torch.Size
) -> list[UInt8[Tensor, "3 h w"]]:
    """RGB pictures of feature maps: their first three principal components over all maps."""
    cells = torch.cat([rearrange(one, "d h w -> (h w) d") for one in maps]).double()
    centered = cells - cells.mean(dim=0)
    _, axes = torch.linalg.eigh(centered.mT @ centered)  # in rising order
    coordinates = centered @ axes[:, -3:].flip(1)
    low, high = (coordinates.quantile(share, dim=0) for share in (0.02, 0.98))
    colors = ((coordinates - low) / (high - low).clamp(min=1e-9)).clamp(0, 1).float()
    pictures = rearrange(
        colors, "(n h w) c -> n c h w", n=len(maps), h=maps[0].shape[1], w=maps[0].shape[2]
    )
    large = functional.interpolate(pictures, tuple(size), mode="nearest-exact")
    return [*(large * 255).round().to(torch.uint8)]

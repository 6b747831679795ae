"""Inpainting: fill in masked pixels of an image or a video, and write the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from einops import rearrange, repeat
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding.data.frames import images, videos
from scalable_binding.data.results import remove_results
from scalable_binding.errors import UserError
from scalable_binding.plots import grids
from scalable_binding.rin import inference
from scalable_binding.rin.inference import Classes, Known, Pretrained, SamplingConfig
from scalable_binding.rin.sample_files import write_video
from scalable_binding.rin.sample_folders import colored, frame_rate

WHITE = 128
"""Least brightness of a mask's pixel that counts as white."""

_SMALLEST = 96


def read_known(pretrained: Pretrained, picture: Path, mask: Path) -> Known:
    """An image or video with a mask that is white where pixels are to be filled in.

    Raises:
        UserError: files that cannot be read, of another size than the network's samples, or a mask
            without a white or without a black pixel.
    """
    if pretrained.model.context:
        raise UserError("this network goes on from given frames", fix="use 'sbind rin predict'")
    size = pretrained.generated_size
    found = _read(picture, is_video=pretrained.is_video)
    white = _read(mask, is_video=pretrained.is_video).float().mean(dim=0, keepdim=True) >= WHITE
    if pretrained.is_video and white.shape[1] == 1:
        white = white.expand(-1, found.shape[1], -1, -1)
    for name, path, got in (("picture", picture, found), ("mask", mask, white)):
        if tuple(got.shape[1:]) != size[1:]:
            sides = " x ".join(map(str, got.shape[1:]))
            expected = f"{' x '.join(map(str, size[1:]))}, the size of the network"
            raise UserError(f"{name} {path}", expected=expected, got=sides)
    if white.all() or not white.any():
        raise UserError(f"mask {mask}", expected="white pixels to fill in, and others to keep")
    if size[0] == 1:
        found = found.float().mean(dim=0, keepdim=True).round().byte()
    return Known(found[None], ~white[None])


def _read(path: Path, *, is_video: bool) -> UInt8[Tensor, "3 *size"]:
    if not is_video:
        return images.read(path)
    if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
        return images.read(path)[:, None]
    return rearrange(videos.read(path), "t c h w -> c t h w")


def fill_in(
    pretrained: Pretrained,
    known: Known,
    num: int,
    config: SamplingConfig | None = None,
    *,
    classes: Classes | None = None,
) -> UInt8[Tensor, "num c *size"]:
    """``num`` ways to fill in one picture; known pixels stay as they are.

    Args:
        pretrained: a network that generates whole pictures.
        known: of one picture.
        num: samples, in batches of ``config.batch_size``.
        config: how to sample.
        classes: of the samples in turn.

    Raises:
        UserError: as :func:`scalable_binding.rin.inference.sample`.
    """
    config = config or SamplingConfig()
    parts = []
    for first in range(0, num, config.batch_size):
        count = min(config.batch_size, num - first)
        given = Known(
            repeat(known.pictures, "1 ... -> n ...", n=count),
            repeat(known.mask, "1 ... -> n ...", n=count),
        )
        *_, state = inference.sample(
            pretrained, count, config, classes=classes, first=first, known=given
        )
        found = inference.pictures(pretrained, state.x0)
        parts.append(torch.where(given.mask, given.pictures, found))
    return torch.cat(parts)


def write_filled(
    pretrained: Pretrained,
    known: Known,
    out: Path,
    num: int,
    config: SamplingConfig,
    classes: Classes | None,
    video_format: str,
) -> dict[str, Any]:
    """Write ``num`` completions to the folder ``out``: each alone, and all beside what was given.

    Raises:
        UserError: as :func:`fill_in`, or the disk refuses.
    """
    remove_results(out, "filled-[0-9]*.*", "filled.*")
    filled = fill_in(pretrained, known, num, config, classes=classes)
    gray = torch.full_like(known.pictures, 128)
    shown = [torch.where(known.mask, known.pictures, gray)[0], *filled]
    large = [grids.enlarge(frames, _SMALLEST) for frames in map(_frames, shown)]
    for number, frames in enumerate(map(_frames, filled), start=1):
        if pretrained.is_video:
            path = out / f"filled-{number}.{video_format}"
            write_video(path, frames, fps=frame_rate(pretrained))
        else:
            images.write(out / f"filled-{number}.png", frames[0])
    names = ["given", *(f"{number}" for number in range(1, num + 1))]
    panels = list(grids.beside(large, names))
    if pretrained.is_video:
        write_video(out / f"filled.{video_format}", panels, fps=frame_rate(pretrained))
    else:
        images.write(out / "filled.png", panels[0])
    share = float((~known.mask).float().mean())
    return {"samples": num, "filled in": share, "steps": config.steps, "seed": config.seed}


def _frames(sample: UInt8[Tensor, "c *size"]) -> UInt8[Tensor, "t 3 h w"]:
    """An image as a video of one frame."""
    found = colored(sample)
    return found[None] if sample.ndim == 3 else found

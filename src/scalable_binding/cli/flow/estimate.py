"""``sbind flow estimate``: optical flow of a video or of two images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.devices import BFloat16Option, DeviceOption
from scalable_binding.cli.flow.options import Flag, SizeOption, WeightsOption
from scalable_binding.cli.outputs import (
    keeping,
    prepare_folder,
    prepare_overlay,
)
from scalable_binding.data.results import refuse_input
from scalable_binding.errors import UserError
from scalable_binding.flow.presets import ResultKind


def estimate(
    video: Path,
    second: Path | None = None,
    /,
    *,
    out: Path,
    kinds: Annotated[
        tuple[ResultKind, ...],
        Parameter(
            name="--write",
            negative="",
            consume_multiple=True,
            help="What to write of each pair: flow as .flo, KITTI's PNG or .npz, pictures in "
            "colors, masks of what is hidden in the next frame.",
        ),
    ] = ("flo", "pictures"),
    overlay: Path | None = None,
    weights: WeightsOption = "shipped",
    size: SizeOption = None,
    device: DeviceOption = "cpu",
    bfloat16: BFloat16Option = None,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Find where every pixel goes: from each frame of a video to the next, or from A to B.

    Parameters
    ----------
    video
        Video file, folder of frames, or the first of two images.
    second
        The second image.
    out
        Folder for the results: a folder in it for each kind, and there 00000.flo, 00001.flo, ...
    overlay
        Video to draw, frames beside their flow in colors: an .mp4 file or a folder.
    overwrite
        Replace what is in the folder, and an overlay of before.
    """
    for given in (video, *([second] if second else [])):
        refuse_input(out, given)
    prepare_folder(out, overwrite=overwrite)
    if overlay is not None:
        if second is not None:
            raise UserError("--overlay draws a video", fix="leave it out, or give one video")
        prepare_overlay(overlay, video, out, overwrite=overwrite)
    with keeping(f"the flow found so far is in {out}"):
        from scalable_binding.flow import video as video_files
        from scalable_binding.nn import precision

        with precision.bfloat16(bfloat16):
            count = video_files.write_flow(
                video,
                second,
                out,
                kinds=kinds,
                weights=weights,
                size=size,
                overlay=overlay,
                device=device,
            )
    print(f"flow of {count} {'pair' if count == 1 else 'pairs'}: {out}")
    if overlay is not None:
        print(f"overlay: {overlay}")

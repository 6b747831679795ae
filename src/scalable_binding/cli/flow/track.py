"""``sbind flow track``: point tracking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from scalable_binding.cli.devices import BFloat16Option, DeviceOption
from scalable_binding.cli.flow.options import Flag, SizeOption, WeightsOption
from scalable_binding.cli.outputs import (
    keeping,
    prepare_overlay,
    prepare_target,
)
from scalable_binding.data.results import refuse_input


def track(
    video: Path,
    /,
    *,
    points: Path,
    out: Path,
    overlay: Path | None = None,
    weights: WeightsOption = "shipped",
    size: SizeOption = None,
    device: DeviceOption = "cpu",
    bfloat16: BFloat16Option = None,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Follow points through a video, and say in every frame whether they are seen.

    Parameters
    ----------
    video
        Video file or folder of frames.
    points
        CSV or JSON with the columns frame,id,x,y: where each point begins.
    out
        CSV to write: frame,id,x,y,visible,confidence.
    overlay
        Video to draw, points with their trails over frames: an .mp4 file or a folder.
    overwrite
        Replace the table and an overlay of before.
    """
    for given in (video, points):
        refuse_input(out, given)
    prepare_target(out, overwrite=overwrite)
    if overlay is not None:
        refuse_input(overlay, points)
        prepare_overlay(overlay, video, out, overwrite=overwrite)
    with keeping(f"the tracks found so far, if any, are in {out}"):
        from scalable_binding.flow import video as video_files
        from scalable_binding.nn import precision

        with precision.bfloat16(bfloat16):
            written = video_files.write_tracks(
                video, points, out, weights=weights, size=size, overlay=overlay, device=device
            )
    print(written)
    if overlay is not None:
        print(f"overlay: {overlay}")

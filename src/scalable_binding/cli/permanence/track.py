"""``sbind permanence track``: box tracking, through occlusion too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.devices import DeviceOption
from scalable_binding.cli.outputs import (
    keeping,
    prepare_folder,
)
from scalable_binding.cli.permanence.options import Flag, WeightsOption
from scalable_binding.data.results import refuse_input
from scalable_binding.errors import UserError
from scalable_binding.permanence.presets import TrackingConfig

SYNTHETIC = Path("synthetic")


def track(
    video: Path,
    /,
    *,
    boxes: Path | None = None,
    out: Path,
    kind: Literal["occlusion", "containment", "carrying", "shell game"] = "shell game",
    seed: int = 0,
    weights: WeightsOption = "shipped",
    tracking: Annotated[TrackingConfig | None, Parameter(name="*")] = None,
    device: DeviceOption = "cpu",
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Follow objects from their boxes in some frame on, also while they are hidden.

    Parameters
    ----------
    video
        Video file or folder of frames; 'synthetic' plays a game of hide and seek.
    boxes
        CSV with the columns frame,id,x0,y0,x1,y1: an object is followed from its first box on, in
        any frame. Further boxes correct what was found there. A synthetic game knows its own.
    out
        Folder for boxes.csv (frame,id,x0,y0,x1,y1,visible,confidence) and overlay.mp4, in which
        the boxes of hidden objects are dashed.
    kind
        Of the synthetic game.
    seed
        Of the synthetic game.
    overwrite
        Replace what is in the folder.
    """
    if (video == SYNTHETIC) != (boxes is None):
        got = "none" if boxes is None else f"{boxes}, though a synthetic game knows its own"
        raise UserError("--boxes", expected="a CSV with boxes in frames of a video", got=got)
    from scalable_binding.permanence import video as video_files

    for result in (out, out / video_files.OVERLAY):
        refuse_input(result, video)
    if boxes is not None:
        refuse_input(out / video_files.BOXES, boxes)
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"the boxes found so far, if any, are in {out}"):
        if boxes is None:
            written = video_files.play(
                kind, seed, out, weights=weights, config=tracking, device=device
            )
        else:
            written = video_files.follow(
                video, boxes, out, weights=weights, config=tracking, device=device
            )
    print(written)

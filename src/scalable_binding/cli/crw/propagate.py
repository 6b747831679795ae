"""``sbind crw propagate``: label propagation through a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.crw.options import (
    AdaptationOption,
    AdaptOption,
    CalibrateOption,
    Flag,
    ProtocolOption,
    ReadingOption,
    WeightsOption,
    _adaptation,
)
from scalable_binding.cli.outputs import (
    keeping,
    prepare_folder,
    prepare_overlay,
)
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.crw.protocols import with_protocol
from scalable_binding.data.results import refuse_input
from scalable_binding.errors import UserError


def propagate(
    video: Path,
    /,
    *,
    labels: Path,
    out: Path,
    overlay: Path | None = None,
    weights: WeightsOption = "shipped",
    calibrate: CalibrateOption = (),
    reading: ReadingOption = None,
    protocol: ProtocolOption = "crw",
    size: int = 480,
    propagation: Annotated[PropagationConfig | None, Parameter(name="*")] = None,
    adapt: AdaptOption = False,
    adaptation: AdaptationOption = (),
    correct: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    backward: Annotated[bool, Flag] = False,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Carry masks, parts or keypoints from one labeled frame through a video.

    Parameters
    ----------
    video
        Video file or folder of frames.
    labels
        Mask (PNG) or keypoints (CSV, JSON) of the first frame; of the last with --backward.
        Keypoints of other frames in the same table correct the prediction there.
    out
        Folder for the results: a mask 00000.png, 00001.png, ... a frame, or keypoints.csv.
    overlay
        Video to draw, labels over frames: an .mp4 file or a folder.
    size
        Larger videos are shrunk to this many pixels on the short side while labels are carried;
        labels come back at the video's own size.
    correct
        FRAME=FILE: labels that correct the prediction at another frame, and may add objects.
    backward
        Go from the last frame to the first.
    overwrite
        Replace what is in the folder, and an overlay of before.
    """
    adapting = _adaptation(adapt, adaptation)
    refuse_input(out, video)
    prepare_folder(out, overwrite=overwrite)
    if overlay is not None:
        prepare_overlay(overlay, video, out, overwrite=overwrite)
    with keeping(f"the frames done so far are in {out}"):
        from scalable_binding.crw import video as video_files

        written = video_files.label_video(
            video,
            labels,
            out,
            weights=weights,
            calibrate=calibrate,
            reading=reading,
            size=size,
            config=with_protocol(protocol, propagation),
            adaptation=adapting,
            corrections=_corrections(correct),
            backward=backward,
            overlay=overlay,
        )
        print(written)
        if overlay is not None:
            print(f"overlay: {overlay}")


def _corrections(texts: tuple[str, ...]) -> dict[int, Path]:
    corrections = {}
    for text in texts:
        frame, _, file = text.partition("=")
        if not (frame.isdecimal() and file):
            raise UserError(f"--correct {text}", expected="FRAME=FILE, such as 17=mask.png")
        if int(frame) in corrections:
            raise UserError(f"--correct {text}", expected="each frame once", got="it twice")
        corrections[int(frame)] = Path(file)
    return corrections

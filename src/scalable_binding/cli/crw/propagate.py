"""``sbind crw propagate``: label propagation through a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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
from scalable_binding.cli.devices import BFloat16Option, DeviceOption
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
    video: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    labels: str,
    out: Path,
    format: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
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
    direction: Literal["forward", "backward", "both"] = "forward",
    backward: Annotated[bool, Flag] = False,
    start: int = 0,
    stop: int | None = None,
    device: DeviceOption = "cpu",
    bfloat16: BFloat16Option = None,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Carry masks, boxes, parts or keypoints from labeled frames through a video.

    Parameters
    ----------
    video
        Video file or folder of frames; '-' reads a video file from standard input.
    labels
        A mask (PNG) of the first frame (of the last one with --backward), or FRAME=FILE for
        another; or labels of any frames: a folder of masks, YouTube-VOS, COCO JSON, CVAT for video
        (XML), Label Studio (JSON), or keypoints (CSV, JSON). What it is, is seen from its content.
    out
        Folder for the results: a mask 00000.png, 00001.png, ... a frame, or keypoints.csv.
    format
        Of the results: png, youtube-vos, coco, cvat or label-studio for masks; csv, csv-semicolon,
        csv-tab, coco-keypoints or cvat for keypoints. Give it several times for several.
    overlay
        Video to draw, labels over frames: an .mp4 file or a folder.
    size
        Larger videos are shrunk to this many pixels on the short side while labels are carried;
        labels come back at the video's own size.
    correct
        FRAME=FILE: labels that correct the prediction at another frame, and may add objects.
    direction
        From each labeled frame forward, backward, or both ways, joined in the middle.
    backward
        The same as --direction backward: a single mask is of the last frame.
    start
        First frame to label.
    stop
        End of the frames to label (not included); by default that of the video.
    overwrite
        Replace what is in the folder, and an overlay of before.
    """
    adapting = _adaptation(adapt, adaptation)
    if backward and direction == "both":
        raise UserError("--backward", expected="--direction backward, or no --backward")
    at, file = _labels(labels)
    refuse_input(out, video)
    prepare_folder(out, overwrite=overwrite)
    if overlay is not None:
        prepare_overlay(overlay, video, out, overwrite=overwrite)
    with keeping(f"the frames done so far are in {out}"):
        from scalable_binding.crw import video as video_files
        from scalable_binding.data.frames import pipes
        from scalable_binding.nn import precision

        with precision.bfloat16(bfloat16), pipes.opened(video) as path:
            written = video_files.label_video(
                path,
                file,
                out,
                weights=weights,
                calibrate=calibrate,
                reading=reading,
                size=size,
                config=with_protocol(protocol, propagation),
                adaptation=adapting,
                corrections=_corrections(correct),
                direction="backward" if backward else direction,
                start=start,
                stop=stop,
                at=at,
                kinds=format,
                overlay=overlay,
                device=device,
            )
        print(written)
        if overlay is not None:
            print(f"overlay: {overlay}")


def _labels(text: str) -> tuple[int | None, Path]:
    """The frame that a single mask is of, if it is told, and the file."""
    frame, _, file = text.partition("=")
    if frame.isdecimal() and file and not Path(text).exists():
        return int(frame), Path(file)
    return None, Path(text)


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

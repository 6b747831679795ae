"""``sbind rin predict``: video prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_folder, write_json
from scalable_binding.cli.rin.options import (
    DeviceOption,
    FormatOption,
    OverwriteOption,
    RunArgument,
    SamplingOptions,
)
from scalable_binding.errors import UserError
from scalable_binding.rin.sampling_config import SamplingConfig


def predict(
    run: RunArgument,
    video: Path,
    /,
    *,
    out: Path,
    context: int | None = None,
    samples: int = 4,
    frames: int | None = None,
    sampling: SamplingOptions = None,
    resize: Annotated[bool, Parameter(negative="")] = False,
    fps: float | None = None,
    device: DeviceOption = "auto",
    video_format: FormatOption = "mp4",
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Predict how a video may go on after its first frames: several futures, side by side.

    Parameters
    ----------
    video
        Video file or folder of frames.
    out
        Folder for the results.
    context
        Frames from the start of the video that are given, at least as many as the network was
        trained with (those by default).
    samples
        How many futures.
    frames
        Frames to predict, window by window if need be; one window by default.
    resize
        Cut the frames in the middle to the network's shape, and resize them to its size.
    fps
        Frames a second to take from the video; by default as many as the network was trained on,
        or, where that is unknown, all.
    """
    for name, value in (("--samples", samples), ("--context", context), ("--frames", frames)):
        if value is not None and value < 1:
            raise UserError(name, expected="at least 1", got=str(value))
    prepare_folder(out, overwrite=overwrite)
    with keeping("nothing was kept"):
        from scalable_binding.rin import futures, sample_folders

        pretrained = sample_folders.open_network(run, device)
        results = futures.write_futures(
            pretrained,
            futures.read_video(pretrained, video, context, frames, fps=fps, resize=resize),
            out,
            samples,
            sampling or SamplingConfig(),
            video_format,
        )
    print(f"futures: {out}")
    write_json(json, results)

"""``sbind rin attend``: attention maps while a network generates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_folder, write_json
from scalable_binding.cli.rin.options import (
    ClassesOption,
    DeviceOption,
    FormatOption,
    OverwriteOption,
    RunArgument,
    SamplingOptions,
    parse_classes,
)
from scalable_binding.errors import UserError
from scalable_binding.rin.sampling_config import SamplingConfig


def attend(
    run: RunArgument,
    video: Path | None = None,
    /,
    *,
    out: Path,
    num: int = 4,
    classes: ClassesOption = None,
    sampling: SamplingOptions = None,
    resize: Annotated[bool, Parameter(negative="")] = False,
    fps: float | None = None,
    device: DeviceOption = "auto",
    video_format: FormatOption = "mp4",
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Draw where a network reads while it generates, and count how far that is from uniform.

    Prints the share of reading that goes to regions which change (videos) or carry detail (images)
    over their share of the tokens, 1 being uniform, and the entropy of reading, 1 being uniform.

    Parameters
    ----------
    video
        Whose future to predict; for a network that predicts.
    out
        Folder for the pictures.
    num
        How many samples.
    resize
        Cut and resize the frames of the video to the network's size.
    fps
        Frames a second to take from the video; by default as many as the network was trained on,
        or, where that is unknown, all.
    """
    if num < 1:
        raise UserError("--num", expected="at least 1", got=str(num))
    if video is None and (resize or fps is not None):
        raise UserError("--resize and --fps are of a VIDEO", got="none", fix="leave them out")
    chosen = None if classes is None else parse_classes(classes)
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"what was drawn so far is in {out}"):
        from scalable_binding.rin import futures, reading, sample_folders

        pretrained = sample_folders.open_network(run, device)
        given = None
        if video is not None:
            given = futures.read_video(pretrained, video, None, 0, fps=fps, resize=resize)
        results = reading.write_reading(
            pretrained, out, num, sampling or SamplingConfig(), chosen, given, video_format
        )
    write_json(json, results)
    last = results["last step"]
    print(
        f"last step, last block: {results['regions']} get {last['concentration']:.2f} times their "
        f"share of reading; entropy {last['entropy']:.3f}"
        if last["concentration"] is not None
        else f"last step, last block: entropy {last['entropy']:.3f}; no sample has a region"
    )
    print(f"pictures: {out}")

"""``sbind rin inpaint``: fill in part of an image, or the missing frames of a video."""

from __future__ import annotations

from pathlib import Path

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


def inpaint(
    run: RunArgument,
    picture: Path,
    mask: Path,
    /,
    *,
    out: Path,
    num: int = 4,
    classes: ClassesOption = None,
    sampling: SamplingOptions = None,
    device: DeviceOption = "auto",
    video_format: FormatOption = "mp4",
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Fill in the masked pixels of an image or video, in several ways.

    Parameters
    ----------
    picture
        Image, or video file or folder of frames, of the network's size.
    mask
        Image of the same size, white where pixels are to be filled in; a video of the same length
        for another mask in each frame.
    out
        Folder for the results.
    num
        How many samples.
    """
    if num < 1:
        raise UserError("--num", expected="at least 1", got=str(num))
    chosen = None if classes is None else parse_classes(classes)
    prepare_folder(out, overwrite=overwrite)
    with keeping("nothing was kept"):
        from scalable_binding.rin import inpainting, sample_folders

        pretrained = sample_folders.open_network(run, device)
        results = inpainting.write_filled(
            pretrained,
            inpainting.read_known(pretrained, picture, mask),
            out,
            num,
            sampling or SamplingConfig(),
            chosen,
            video_format,
        )
    print(f"pictures: {out}")
    write_json(json, results)

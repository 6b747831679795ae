"""``sbind rin sample``: generate images or videos."""

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


def sample(
    run: RunArgument,
    /,
    *,
    out: Path,
    num: int = 64,
    classes: ClassesOption = None,
    sampling: SamplingOptions = None,
    device: DeviceOption = "auto",
    video_format: FormatOption = "mp4",
    overwrite: OverwriteOption = False,
    json: JsonOption = None,
) -> None:
    """Generate images or videos: single files, a grid, an .npz, and a video of the process.

    Parameters
    ----------
    out
        Folder for the results.
    num
        How many samples; those that do not fit into memory at once come in batches.
    """
    if num < 1:
        raise UserError("--num", expected="at least 1", got=str(num))
    chosen = None if classes is None else parse_classes(classes)
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"the samples finished so far are in {out}"):
        from scalable_binding.rin import sample_folders

        pretrained = sample_folders.open_network(run, device)
        results = sample_folders.write_samples(
            pretrained, out, num, sampling or SamplingConfig(), chosen, video_format
        )
    print(f"samples: {out}")
    write_json(json, results)

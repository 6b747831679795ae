"""``sbind rin``: sample from a trained network, predict futures of a video, show where it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_folder, write_json
from scalable_binding.errors import UserError
from scalable_binding.rin.sampling_config import SamplingConfig

MAX_CLASSES = 1_000_000
"""A range of numbers beyond this is a slip of the hand."""

SamplingOptions = Annotated[SamplingConfig | None, Parameter(name="*", negative_iterable="")]

ClassesOption = Annotated[
    str | None,
    Parameter(
        help="Classes in turn, by number or name: 3, or 1,4,8, or 0..9, or cat,dog; "
        "without a class if not given."
    ),
]

DeviceOption = Annotated[
    str, Parameter(help="Where to run: 'auto' is a GPU if there is one, or 'cpu', 'cuda:1', ...")
]

OverwriteOption = Annotated[
    bool, Parameter(negative="", help="Write into a folder that has something in it.")
]

FormatOption = Annotated[
    Literal["mp4", "gif"], Parameter(name="--format", help="Of the videos that are written.")
]

_RUN_HELP = "A run's folder, or one of the networks that are shipped: 'digits', 'moving-digits'."
RunArgument = Annotated[str, Parameter(help=_RUN_HELP)]


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
        from scalable_binding.cli import generation

        pretrained = generation.open_network(run, device)
        results = generation.write_samples(
            pretrained, out, num, sampling or SamplingConfig(), chosen, video_format
        )
    print(f"samples: {out}")
    write_json(json, results)


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
        from scalable_binding.cli import futures, generation

        pretrained = generation.open_network(run, device)
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
        from scalable_binding.cli import futures, generation, reading

        pretrained = generation.open_network(run, device)
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


def parse_classes(text: str) -> list[int | str]:
    """The numbers and names that ``0..9`` or ``1,4,cat`` spell, in their order.

    Raises:
        UserError: the text is neither.
    """
    classes: list[int | str] = []
    for part in (part.strip() for part in text.split(",")):
        first, dots, last = part.partition("..")
        is_range = first.isdecimal() and last.isdecimal() and len(last) < len(str(MAX_CLASSES))
        if not part or (dots and not (is_range and int(first) <= int(last))):
            expected = "numbers or names, such as 3 or 1,4,cat or 0..9"
            raise UserError("--classes", expected=expected, got=repr(text))
        if dots:
            classes += range(int(first), int(last) + 1)
        else:
            classes.append(int(part) if part.isdecimal() else part)
    return classes

"""``sbind flow``: train a network, find what moved where, follow points, score on benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    prepare_folder,
    prepare_overlay,
    prepare_target,
    refuse_input,
    training_run,
    write_json,
)
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure
from scalable_binding.errors import UserError

Flag = Parameter(negative="")
Kind = Literal["flo", "kitti", "npz", "pictures", "hidden"]

WeightsOption = Annotated[
    str, Parameter(help="'shipped', 'random', a run's folder, or its model.safetensors.")
]
SizeOption = Annotated[
    int | None,
    Parameter(
        help="Larger videos are shrunk to this many pixels on the short side; results are at the "
        "video's own size all the same."
    ),
]


def train(
    *data: Path,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train a network on unlabeled videos; a run that was stopped goes on where it was.

    Parameters
    ----------
    data
        Folders of videos, of frame folders or of tar shards; none if all clips are synthetic.
    run
        Folder for checkpoints, log and pictures.
    """
    chosen = configure("flow", preset, config, settings)
    with training_run(run, "network"):
        from scalable_binding.flow import train as training

        training.train(chosen, data, run)


def estimate(
    video: Path,
    second: Path | None = None,
    /,
    *,
    out: Path,
    kinds: Annotated[
        tuple[Kind, ...],
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
        from scalable_binding.cli import motion

        count = motion.write_flow(
            video, second, out, kinds=kinds, weights=weights, size=size, overlay=overlay
        )
    print(f"flow of {count} {'pair' if count == 1 else 'pairs'}: {out}")
    if overlay is not None:
        print(f"overlay: {overlay}")


def track(
    video: Path,
    /,
    *,
    points: Path,
    out: Path,
    overlay: Path | None = None,
    weights: WeightsOption = "shipped",
    size: SizeOption = None,
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
        from scalable_binding.cli import motion

        written = motion.write_tracks(
            video, points, out, weights=weights, size=size, overlay=overlay
        )
    print(written)
    if overlay is not None:
        print(f"overlay: {overlay}")


def evaluate(
    benchmark: Literal["synthetic", "sintel", "sintel-clean", "kitti", "chairs"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    limit: int | None = None,
    json: JsonOption = None,
) -> None:
    """Score a network by how far its flow is from the truth.

    Parameters
    ----------
    benchmark
        Data and protocol; 'sintel' is its final pass.
    root
        Folder in the benchmark's official layout; 'synthetic' needs none.
    limit
        Score this many pairs only, the first ones.
    """
    with keeping("nothing was kept"):
        from scalable_binding.flow import evaluate as evaluation

        scores = evaluation.evaluate(benchmark, root, weights=weights, limit=limit)
    still = scores["zero flow"]
    print(f"{scores['pairs']} pairs    {'network':>9} {'zero flow':>9}")
    for name, value in scores["scores"].items():
        beside = f"{still[name]:9.3f}" if name in still else f"{'-':>9}"
        print(f"{name:14} {value:9.3f} {beside}")
    write_json(json, scores)

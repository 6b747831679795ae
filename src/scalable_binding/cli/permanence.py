"""``sbind permanence``: train a tracker, follow objects seen or hidden, score on benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    prepare_folder,
    refuse_input,
    training_run,
    write_json,
)
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure
from scalable_binding.errors import UserError
from scalable_binding.permanence.presets import TrackingConfig

Flag = Parameter(negative="")

WeightsOption = Annotated[str, Parameter(help="'shipped', or a run's folder.")]

SYNTHETIC = Path("synthetic")
BOXES, OVERLAY = "boxes.csv", "overlay.mp4"


def train(
    *,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train a tracker on synthetic games; a run that was stopped goes on where it was.

    Parameters
    ----------
    run
        Folder for checkpoints and log.
    """
    chosen = configure("permanence", preset, config, settings)
    with training_run(run, "network"):
        from scalable_binding.permanence import train as training

        training.train(chosen, run)


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
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Follow objects from their boxes in the first frame, also while they are hidden.

    Parameters
    ----------
    video
        Video file or folder of frames; 'synthetic' plays a game of hide and seek.
    boxes
        CSV with the columns frame,id,x0,y0,x1,y1: boxes in frame 0. Those in later frames correct
        what was found there, or add objects. A synthetic game knows its own.
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
        raise UserError("--boxes", expected="a CSV with the boxes of frame 0 of a video", got=got)
    for result in (out, out / OVERLAY):
        refuse_input(result, video)
    if boxes is not None:
        refuse_input(out / BOXES, boxes)
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"the boxes found so far, if any, are in {out}"):
        from scalable_binding.cli import following

        if boxes is None:
            written = following.play(kind, seed, out, weights=weights, config=tracking)
        else:
            written = following.follow(video, boxes, out, weights=weights, config=tracking)
    print(written)


def evaluate(
    benchmark: Literal["synthetic", "la-cater"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    memoryless: str | None = None,
    num: int = 8,
    tracking: Annotated[TrackingConfig | None, Parameter(name="*")] = None,
    json: JsonOption = None,
) -> None:
    """Score a tracker on frames where objects are seen, occluded, contained and carried.

    Parameters
    ----------
    benchmark
        Data and protocol.
    root
        Folder of LA-CATER, such as its test_data; 'synthetic' needs none.
    memoryless
        Run's folder of a tracker without memory, to score beside.
    num
        Synthetic games of each kind, or videos of LA-CATER, the first ones.
    """
    if (root is None) != (benchmark == "synthetic"):
        needed = "none for synthetic, the folder of the data for la-cater"
        raise UserError("root", expected=needed, got=str(root))
    if num < 1:
        raise UserError("--num", expected="at least 1", got=str(num))
    with keeping("nothing was kept"):
        from scalable_binding.cli import following

        scores = following.score(
            root, weights=weights, memoryless=memoryless, num=num, config=tracking
        )
    write_json(json, scores)

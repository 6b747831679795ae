"""``sbind crw``: train an encoder, carry labels through a video, score on benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import JsonOption, keeping, prepare_folder, write_json
from scalable_binding.cli.settings import ConfigOption, PresetOption, SettingsOption, configure
from scalable_binding.errors import UserError

Flag = Parameter(negative="")

WeightsOption = Annotated[
    str,
    Parameter(
        help="Encoder: 'shipped', 'random', 'raw' (grey levels of patches, no encoder), or a file: "
        "a run's model.safetensors, torchvision's ResNet-18 or the authors' checkpoint."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Propagation:
    """Label propagation; the values of the thesis for DAVIS."""

    context: int = 20
    """Recent frames whose labels are looked up, besides the first."""

    neighbours: int = 10
    """Nearest features, over the whole context, whose labels are mixed."""

    radius: float = 12.0
    """How far a label may move between frames, in feature cells (8 pixels)."""

    temperature: float = 0.07
    """Of the softmax over the neighbours; lower is sharper."""


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """Training on the video itself while labels go through it (thesis 3.7.9)."""

    adapt: Annotated[bool, Flag] = False
    """Train on a sliding window before labels go to a frame; slow without a GPU."""

    adapt_steps: int = 100
    """Optimiser steps each time; with --adapt."""

    adapt_window: int = 10
    """Frames before and after the current one to train on; with --adapt."""

    adapt_interval: int = 5
    """Frames from one training to the next; with --adapt."""


def train(
    *data: Path,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train an encoder on unlabelled videos; a run that was stopped goes on where it was.

    Parameters
    ----------
    data
        Folders of videos, of frame folders or of tar shards.
    run
        Folder for checkpoints, log and pictures.
    """
    if not data:
        raise UserError("training data", expected="at least one folder of videos", got="none")
    chosen = configure("crw", preset, config, settings)
    with keeping(f"the last checkpoint is in {run}; the same command goes on from there"):
        from scalable_binding.crw import train as training

        training.train(chosen, data, run)


def propagate(
    video: Path,
    /,
    *,
    labels: Path,
    out: Path,
    overlay: Path | None = None,
    weights: WeightsOption = "shipped",
    propagation: Annotated[Propagation | None, Parameter(name="*")] = None,
    adaptation: Annotated[Adaptation | None, Parameter(name="*")] = None,
    backward: Annotated[bool, Flag] = False,
    overwrite: Annotated[bool, Flag] = False,
) -> None:
    """Carry masks, parts or keypoints from one labelled frame through a video.

    Parameters
    ----------
    video
        Video file or folder of frames.
    labels
        Mask (PNG) or keypoints (CSV, JSON) of the first frame; of the last with --backward.
    out
        Folder for the results: a mask 00000.png, 00001.png, ... a frame, or keypoints.csv.
    overlay
        Video to draw, labels over frames: an .mp4 file or a folder.
    backward
        Go from the last frame to the first.
    overwrite
        Write into a folder that has something in it.
    """
    adaptation = adaptation or Adaptation()
    if not adaptation.adapt and adaptation != Adaptation():
        raise UserError("--adapt-steps, --adapt-window and --adapt-interval need --adapt")
    prepare_folder(out, overwrite=overwrite)
    with keeping(f"the frames done so far are in {out}"):
        from scalable_binding.cli import labelling

        labelling.label_video(
            video,
            labels,
            out,
            weights=weights,
            propagation=propagation or Propagation(),
            adaptation=adaptation,
            backward=backward,
        )
        if overlay is not None:
            labelling.draw_overlay(video, out, overlay)


def evaluate(
    benchmark: Literal["davis", "jhmdb", "vip", "synthetic"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    context: int | None = None,
    neighbours: int | None = None,
    radius: float | None = None,
    temperature: float | None = None,
    out: Path | None = None,
    json: JsonOption = None,
) -> None:
    """Score an encoder by how well labels propagate with it.

    Parameters
    ----------
    benchmark
        Data and protocol.
    root
        Folder in the benchmark's official layout; 'synthetic' needs none.
    context
        Instead of the protocol's own; likewise neighbours, radius and temperature.
    out
        Folder for predictions and scores per sequence; a stopped evaluation goes on from there.
    """
    if root is None and benchmark != "synthetic":
        raise UserError(f"benchmark {benchmark}", expected="the folder of its data", got="none")
    changes = {
        "context": context,
        "neighbours": neighbours,
        "radius": radius,
        "temperature": temperature,
    }
    kept = "nothing was kept, since --out was not given"
    with keeping(kept if out is None else f"the sequences scored so far are in {out}"):
        from scalable_binding.crw import evaluate as evaluation

        scores = evaluation.evaluate(
            benchmark,
            root,
            weights=weights,
            changes={name: value for name, value in changes.items() if value is not None},
            out=out,
        )
    for name, value in scores["overall"].items():
        print(f"{name:24} {value:.3f}")
    write_json(json, scores)

"""``sbind crw``: train an encoder, carry labels through a video, score on benchmarks."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from scalable_binding.cli.outputs import (
    JsonOption,
    keeping,
    prepare_folder,
    prepare_overlay,
    refuse_input,
    training_run,
    write_json,
)
from scalable_binding.cli.settings import (
    ConfigOption,
    PresetOption,
    SettingsOption,
    configure,
    pairs,
)
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.engine.config import override
from scalable_binding.engine.config import settings as settings_of
from scalable_binding.errors import UserError

Flag = Parameter(negative="")

WeightsOption = Annotated[
    str,
    Parameter(
        help="'shipped', 'random', 'raw' (colors of patches, no encoder), a run's folder, or a "
        "file: ours, torchvision's ResNet-18 or the authors' checkpoint."
    ),
]

AdaptOption = Annotated[
    bool,
    Parameter(
        negative="",
        help="Train on a sliding window of the video before labels go to a frame; slow on a CPU.",
    ),
]

AdaptationOption = Annotated[
    tuple[str, ...],
    Parameter(
        name="--adaptation",
        negative="",
        show_default=False,
        help="One setting of --adapt, NAME=VALUE, such as "
        + ", ".join(
            f"{leaf.path}={leaf.value}" for leaf in islice(settings_of(AdaptationConfig()), 4)
        )
        + ".",
    ),
]


def train(
    *data: Path,
    run: Path,
    preset: PresetOption = "small",
    config: ConfigOption = None,
    settings: SettingsOption = (),
) -> None:
    """Train an encoder on unlabeled videos; a run that was stopped goes on where it was.

    Parameters
    ----------
    data
        Folders of videos, of frame folders or of tar shards; none if all clips are synthetic.
    run
        Folder for checkpoints, log and pictures.
    """
    chosen = configure("crw", preset, config, settings)
    with training_run(run, "encoder"):
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
        from scalable_binding.cli import labeling

        written = labeling.label_video(
            video,
            labels,
            out,
            weights=weights,
            size=size,
            config=propagation or PropagationConfig(),
            adaptation=adapting,
            corrections=_corrections(correct),
            backward=backward,
        )
        print(written)
        if overlay is not None:
            labeling.draw_overlay(video, out, overlay)
            print(f"overlay: {overlay}")


def _adaptation(adapt: bool, settings: tuple[str, ...]) -> AdaptationConfig | None:
    if settings and not adapt:
        raise UserError(f"--adaptation {settings[0]} has no effect without --adapt")
    return override(AdaptationConfig(), pairs(settings)) if adapt else None


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


def evaluate(
    benchmark: Literal["davis", "jhmdb", "vip", "synthetic"],
    root: Path | None = None,
    /,
    *,
    weights: WeightsOption = "shipped",
    context: int | None = None,
    neighbors: int | None = None,
    radius: float | None = None,
    temperature: float | None = None,
    axes: int | None = None,
    zoom: float | None = None,
    adapt: AdaptOption = False,
    adaptation: AdaptationOption = (),
    sequences: str | None = None,
    list_file: Annotated[Path | None, Parameter(name="--list")] = None,
    out: Path | None = None,
    overwrite: Annotated[bool, Flag] = False,
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
        Instead of the protocol's own; likewise neighbors, radius, temperature, axes, zoom.
    sequences
        Names of those to score, with commas between them, instead of all.
    list_file
        File that names the sequences, a line each, instead of the benchmark's own list.
    out
        Folder for predictions and scores per sequence; a stopped evaluation goes on from there.
    overwrite
        Discard another evaluation's results in that folder.
    """
    changes = {
        "context": context,
        "neighbors": neighbors,
        "radius": radius,
        "temperature": temperature,
        "axes": axes,
        "zoom": zoom,
    }
    adapting = _adaptation(adapt, adaptation)
    kept = "nothing was kept, since --out was not given"
    with keeping(kept if out is None else f"the sequences scored so far are in {out}"):
        from scalable_binding.crw import evaluate as evaluation

        scores = evaluation.evaluate(
            benchmark,
            root,
            weights=weights,
            changes={name: value for name, value in changes.items() if value is not None},
            adaptation=adapting,
            sequences=None if sequences is None else sequences.split(","),
            listed=list_file,
            out=out,
            overwrite=overwrite,
        )
    for name, value in scores["overall"].items():
        print(f"{name:24} {value:.3f}")
    write_json(json, scores)

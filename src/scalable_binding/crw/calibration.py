"""Calibration: a reader fitted on unlabeled frames, for a backbone that is trained or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from scalable_binding.atomic import explain_write_errors, write_text
from scalable_binding.crw import model
from scalable_binding.crw.model import READER_CONFIG, READER_WEIGHTS, Encoder, RawPatches
from scalable_binding.crw.public import find
from scalable_binding.crw.reader import Reader
from scalable_binding.crw.reader_config import CalibrationConfig, ReaderConfig, ReadingConfig
from scalable_binding.data.datasets.clips import VideoClips
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, save_tensors
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.engine.devices import choose_device
from scalable_binding.errors import UserError

FPS = (3.0, 24.0)
"""Frames a second between which the rate of each clip is drawn."""


def frames_of(
    data: Sequence[Path], config: CalibrationConfig | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Frames of unlabeled videos to fit a reader on, colors in [0, 1]; the same at every call.

    Args:
        data: folders of videos or of folders of frames.
        config: which frames.

    Raises:
        UserError: no videos, or none that can be read.
    """
    config = config or CalibrationConfig()
    clips = VideoClips(
        data, num_frames=2, fps=FPS, size=config.size, crop=config.crop, seed=config.seed
    )
    found = [clips[index]["frames"] for index in range(config.num_clips)]
    return torch.cat(found).float() / 255


def load(
    weights: str | Path,
    data: Sequence[Path] = (),
    reading: ReadingConfig | None = None,
    device: str = "cpu",
) -> Encoder | RawPatches:
    """``crw.model.load``, with the reader fitted on frames of videos where some are given.

    Raises:
        UserError: as ``crw.model.load``; no video can be read; there is no such device, or "raw"
            on another device than the CPU.
    """
    chosen = choose_device(device)
    if weights == "raw" and device != "auto" and chosen.type != "cpu":
        raise UserError("raw patches", expected="--device cpu", got=device)
    options: dict[str, Any] = {"frames": frames_of(data)} if data else {}
    if reading is not None:
        options["reading"] = reading
    loaded = model.load(weights, **options)
    return loaded if isinstance(loaded, RawPatches) else loaded.to(chosen)


def calibrate(
    weights: str | Path,
    data: Sequence[Path],
    out: Path | None = None,
    *,
    reader: Mapping[str, Any] | None = None,
    config: CalibrationConfig | None = None,
) -> Encoder:
    """Fit the reader of an encoder on frames, and save it.

    Args:
        weights: whatever ``crw.model.load`` takes, but for "raw".
        data: folders of videos.
        out: folder for backbone and reader together; None puts the reader alone into the run's
            folder that ``weights`` names, beside the backbone's weights.
        reader: settings of the reader that differ from those it has, by name (``ReaderConfig``).
        config: which frames.

    Raises:
        UserError: no such weights or videos, a setting that does not exist or does not fit the
            backbone, or a folder that cannot be written.
    """
    if out is None and not Path(weights).is_dir():
        fix = "name a folder for the result: --out FOLDER"
        raise UserError(f"{weights} is not the folder of a run", fix=fix)
    if find(str(weights)) is not None:
        fix = "give --calibrate to propagate or evaluate"
        raise UserError(f"the reader of {weights} is not saved", fix=fix)
    config = config or CalibrationConfig()
    frames = frames_of(data, config)
    is_fresh = str(weights).startswith("untrained")
    encoder = model.load(weights, frames=frames if is_fresh else None)
    if not isinstance(encoder, Encoder):
        raise UserError("raw patches have no reader to fit on frames")
    if reader:
        encoder = reread(encoder, reader)
    encoder.calibrate(frames, norms=config.norms)
    card = {"videos": [path.name for path in data], **to_mapping(config)}
    if out is None:
        save_reader(encoder, Path(weights), card)
    else:
        save_encoder(encoder, out, card)
    return encoder


def reread(encoder: Encoder, changes: Mapping[str, Any]) -> Encoder:
    """The same backbone with another reader, not fitted yet.

    Args:
        encoder: whose backbone is read.
        changes: settings of ``ReaderConfig`` by name, as values or as text; the others stay.

    Raises:
        UserError: a setting that does not exist or does not fit the backbone.
    """
    names = {field.name for field in fields(ReaderConfig)}
    present = {n: v for n, v in encoder.reader.arguments.items() if n in names}
    chosen = to_mapping(override(ReaderConfig(**present), dict(changes)))
    reader = Reader(encoder.backbone.channels, **chosen)
    return Encoder(encoder.backbone, reader.to(encoder.device)).eval()


def save_reader(encoder: Encoder, run: Path, card: Mapping[str, Any]) -> None:
    """Put the reader of an encoder into a run's folder, beside the backbone's weights.

    Args:
        encoder: whose reader, with the statistics of the backbone's batch norms.
        run: folder of a run.
        card: what the statistics come from.

    Raises:
        UserError: the files cannot be written.
    """
    save_tensors(model.reader_tensors(encoder), run / READER_WEIGHTS, step=0)
    text = {"reader": model.arguments(encoder)["reader"], "calibration": card}
    write_text(run / READER_CONFIG, json.dumps(text, indent=2) + "\n")


def save_encoder(encoder: Encoder, out: Path, card: Mapping[str, Any]) -> None:
    """Put backbone and reader together into a folder that ``crw.model.load`` reads.

    Raises:
        UserError: the files cannot be written.
    """
    with explain_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    save_tensors(encoder.state_dict(), out / WEIGHTS, step=0)
    text = {"system": "crw", **model.arguments(encoder), "calibration": card}
    write_text(out / CONFIG, json.dumps(text, indent=2) + "\n")

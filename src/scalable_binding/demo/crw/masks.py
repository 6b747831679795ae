"""Masks of several objects, carried from the first frame to all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import plots, report
from scalable_binding.crw.inference import Prediction
from scalable_binding.data.frames import images, videos
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw.contest import RANDOM, Contest
from scalable_binding.demo.crw.scene import FPS
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.metrics.segmentation import ObjectScore, score_sequence
from scalable_binding.plots import curves
from scalable_binding.report import Section

Ids = UInt8[Tensor, "t h w"]
Scores = Mapping[str, list[ObjectScore]]


def show(context: Context, contest: Contest, labeled: Mapping[str, list[Prediction]]) -> Section:
    """The labeled frame, the propagated masks, the baselines beside them, and scores."""
    scene, shown = contest.scene, contest.shown
    ids = {name: torch.stack([one.labels for one in found]) for name, found in labeled.items()}
    scores = {name: score_sequence(masks, scene.masks) for name, masks in ids.items()}
    given, made, compared, curve = (
        context.out / name
        for name in ("first_mask.jpg", "masks.mp4", "comparison.mp4", "region_over_time.png")
    )
    images.write(context.out / "first_frame.jpg", scene.frames[0])
    images.write(given, plots.overlay(scene.frames[0], scene.masks[0]))
    videos.write(made, map(plots.overlay, scene.frames, ids[shown]), fps=FPS)
    videos.write(compared, _beside(scene, {**ids, "truth": scene.masks}), fps=FPS)
    curves.save(curve, [_curves(scores)])
    what = (
        f"{scene.boxes.shape[1]} objects cross and occlude each other. The model gets the mask of "
        "the first frame only. The clip is rendered, so every pixel has a ground-truth label."
    )
    if (zoom := context.config.crw.zoom) > 1:
        what += (
            f" Frames are read at {zoom:g} times their size (`--zoom {zoom:g}`) for the thin limbs."
        )
    blocks = [
        report.paragraph(what),
        report.columns(
            [
                report.pictures([(given, "Input: the mask of the first frame.")]),
                report.video(
                    made, f"Output: the masks of the other {len(scene.frames) - 1} frames."
                ),
            ]
        ),
        *_origin(shown),
        report.paragraph(
            "Baselines: a randomly initialized ResNet-18, and raw pixel colors. Colors are a "
            "strong cue in rendered scenes, whose surfaces do not change; scores on real video "
            "are in `benchmarks/crw/encoder.md`."
        ),
        report.columns([_table(scores), report.pictures([(curve, "J in each frame.")])]),
        report.video(compared, "Masks from each encoder, beside the ground truth."),
    ]
    return Section(
        name="masks",
        title="Masks",
        blocks=blocks,
        scores={name: _as_json(objects) for name, objects in scores.items()},
    )


def _origin(shown: str) -> list[str]:
    """A warning if the encoder shown is untrained."""
    if shown != RANDOM:
        return []
    said = (
        "This page shows a *random encoder*, because this installation has no trained one or none "
        "was requested. Nothing here has been learned. Train one with `sbind crw train` and show "
        "it with `sbind demo --weights RUN`."
    )
    return [report.note(said)]


def _beside(scene: Scene, panels: Mapping[str, Ids]) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    """Every frame with each panel's masks over it: three in a row, or two and two."""
    columns = 3 if len(panels) == 3 else 2
    for number, frame in enumerate(scene.frames):
        drawn = [titled(plots.overlay(frame, ids[number]), name) for name, ids in panels.items()]
        yield tiled(drawn, columns)


def _table(scores: Scores) -> str:
    """A row for each encoder: J, F and their mean, over all objects."""
    rows = []
    for name, objects in scores.items():
        region, boundary = (
            sum(float(getattr(one, which).mean()) for one in objects) / len(objects)
            for which in ("region", "boundary")
        )
        rows.append((name, [region, boundary, (region + boundary) / 2]))
    note = (
        "J: intersection over union with the true masks. F: boundary F-measure. Means over objects "
        "and frames; 1 is perfect."
    )
    return report.table(["encoder", "J", "F", "J&F"], rows, note, best_of="column")


def _curves(scores: Scores) -> curves.Panel:
    lines = []
    for name, objects in scores.items():
        mean = torch.stack([one.region for one in objects]).mean(dim=0).tolist()
        lines.append(curves.Curve(label=name, x=list(range(1, len(mean) + 1)), y=mean))
    return curves.Panel(curves=lines, x_label="frame", y_label="J")


def _as_json(objects: list[ObjectScore]) -> dict[str, Any]:
    """Mean, recall and decay of J and F of every object, and the mean J&F."""
    overall = sum(one.region_and_boundary for one in objects) / len(objects)
    return {
        "J&F": overall,
        "objects": [
            {"id": one.id, "J": asdict(one.region_summary), "F": asdict(one.boundary_summary)}
            for one in objects
        ],
    }

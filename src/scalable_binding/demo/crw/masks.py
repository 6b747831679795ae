"""Masks of several objects, carried from the first frame to all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw.inference import Prediction
from scalable_binding.data import images, videos
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo import report
from scalable_binding.demo.crw.contest import Contest
from scalable_binding.demo.montage import pairs, titled
from scalable_binding.demo.report import Section
from scalable_binding.demo.scene import FPS
from scalable_binding.demo.stage import Stage
from scalable_binding.metrics.segmentation import ObjectScore, score_sequence
from scalable_binding.plots import curves

Scores = Mapping[str, list[ObjectScore]]


def show(stage: Stage, contest: Contest, labelled: Mapping[str, list[Prediction]]) -> Section:
    """The first frame, a video of every encoder's masks beside the truth, and their scores."""
    scene, shown = contest.scene, contest.shown
    ids = {name: torch.stack([one.labels for one in found]) for name, found in labelled.items()}
    scores = {name: score_sequence(masks, scene.masks) for name, masks in ids.items()}
    first, mask = stage.out / "first_frame.jpg", stage.out / "first_mask.jpg"
    images.write(first, scene.frames[0])
    images.write(mask, plots.overlay(scene.frames[0], scene.masks[0]))
    clip, curve = stage.out / "masks.mp4", stage.out / "region_over_time.png"
    panels = {shown: ids[shown], "truth": scene.masks, **ids}
    videos.write(clip, _draw(scene, panels), fps=FPS)
    curves.save(curve, [_curves(scores)])
    return Section(
        name="masks",
        title="Masks",
        blocks=[
            report.paragraph(
                "Three objects cross and hide one another on the way. The program was told what is "
                "what in *one* frame, the first. The computer has drawn this clip itself, from "
                "pictures that the encoder never saw, so the truth about every pixel is known."
            ),
            report.pictures(
                [(first, "The first frame."), (mask, "Its mask: one colour an object.")]
            ),
            report.paragraph(
                f"For the other {len(scene.frames) - 1} frames it finds, for every spot, the "
                "spots of earlier frames that look most alike to its encoder, and copies their "
                f"labels. Compare *{shown}* with *truth*; an untrained network (*random encoder*) "
                "and mere colours (*raw pixels*) show how far one comes without learning."
            ),
            report.video(clip, "Masks carried from the first frame, and the truth."),
            report.columns(
                [
                    _table(scores, "region", "J: overlap with the true mask. 1 is perfect."),
                    _table(scores, "boundary", "F: agreement of the outlines. 1 is perfect."),
                ]
            ),
            report.pictures(
                [(curve, "J in every frame, mean of the objects. It dips where one is hidden.")]
            ),
        ],
        scores={name: _as_json(objects) for name, objects in scores.items()},
    )


def _draw(
    scene: Scene, panels: Mapping[str, UInt8[Tensor, "t h w"]]
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    """Every frame with each panel's masks over it."""
    for number, frame in enumerate(scene.frames):
        yield pairs(
            [titled(plots.overlay(frame, masks[number]), name) for name, masks in panels.items()]
        )


def _table(scores: Scores, which: str, note: str) -> str:
    """A row for each object and one for the mean, a column for each encoder."""
    values = {
        name: [float(getattr(one, which).mean()) for one in objects]
        for name, objects in scores.items()
    }
    labels = [one.id for one in next(iter(scores.values()))]
    rows = [
        (f"{report.swatch(label)}object {label}", [column[i] for column in values.values()])
        for i, label in enumerate(labels)
    ]
    rows.append(("mean", [sum(column) / len(column) for column in values.values()]))
    return report.table(["J" if which == "region" else "F", *values], rows, note)


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

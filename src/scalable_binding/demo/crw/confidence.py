"""Soft masks and confidence, and how well confidence predicts errors."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scalable_binding import report
from scalable_binding.crw.inference import Prediction
from scalable_binding.data.frames import images
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.context import Context
from scalable_binding.plots import confidence
from scalable_binding.report import Section

SURE = 0.9


def show(context: Context, scene: Scene, predictions: Sequence[Prediction]) -> Section:
    """The soft map of the object that is hidden most, the confidence, and how far to trust it."""
    context.say("Soft masks and confidence")
    label = int(scene.box_visible.amin(dim=0).argmin()) + 1
    seen = scene.box_visible[:, label - 1]
    last = len(predictions) - 1
    hidden = int(seen[1:-1].argmin()) + 1
    soft, sure = [], []
    for time in sorted({hidden // 2, hidden, (hidden + last) // 2, last}):
        frame, prediction = scene.frames[time], predictions[time]
        map_file, sure_file = (
            context.out / f"{what}_{time:03}.jpg" for what in ("soft", "confidence")
        )
        share = prediction.scores[1 + prediction.ids.index(label)]
        images.write(map_file, confidence.draw(frame, share))
        images.write(sure_file, confidence.draw(frame, prediction.confidence, color_map="viridis"))
        soft.append((map_file, f"Frame {time}: {float(seen[time]):.0%} visible."))
        sure.append((sure_file, f"Frame {time}."))
    scores = trust(scene, predictions)
    return Section(
        name="confidence",
        title="Soft masks and confidence",
        blocks=[
            report.paragraph(
                "Labels stay soft while they propagate: each cell holds a share of every object. "
                f"Below is the share of object {label}, the most occluded one in this clip."
            ),
            report.pictures(soft),
            report.paragraph(
                "The largest share of a cell is its confidence, which shows where to correct: "
                f"{scores['sure']:.1%} of the pixels above {SURE} have the right label, and "
                f"{scores['unsure']:.1%} of the others."
            ),
            report.pictures(sure),
        ],
        scores=scores,
    )


def trust(scene: Scene, predictions: Sequence[Prediction]) -> dict[str, float]:
    """The share of pixels with the right label among those with and without high confidence."""
    later = predictions[1:]
    right = torch.stack([found.labels for found in later]) == scene.masks[1:]
    sure = torch.stack([found.confidence for found in later]) > SURE
    return {
        name: float((right & among).sum()) / max(1, int(among.sum()))
        for name, among in (("sure", sure), ("unsure", ~sure))
    }

"""Random walks from objects in the first frame, and the share of walkers that stay on them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding import report
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import images
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw.contest import Contest
from scalable_binding.plots import walks
from scalable_binding.report import Section
from scalable_binding.walk.affinity import DROPPED, similarity, transition
from scalable_binding.walk.chain import chain

_NUM_STEPS = 4
_LONGEST_STEP = 4
"""Frames from one step to the next; 8 frames a second at 30, as in training."""

_LABELING = PropagationConfig()
"""Walkers step by the neighbors and the temperature by which labels are carried."""


def show(context: Context, contest: Contest) -> Section:
    """A picture of the walks, and the share of walkers that stay on their object."""
    context.say("Walks")
    scene, shown = contest.scene, contest.shown
    stride = min(_LONGEST_STEP, (len(scene.frames) - 1) // _NUM_STEPS)
    times = [stride * step for step in range(_NUM_STEPS + 1)]
    cell = contest.models[shown].stride
    frames = _padded(scene.frames[times], cell)
    grid = (frames.shape[2] // cell, frames.shape[3] // cell)
    steps = {name: _steps(encoder, frames) for name, encoder in contest.models.items()}
    owners = _owners(scene.masks[times], grid)
    labels = [label for label in range(1, scene.boxes.shape[1] + 1) if (owners[0] == label).any()]
    scores = {
        name: {f"object {label}": _stay(matrices, owners == label) for label in labels}
        for name, matrices in steps.items()
    }
    picture = context.out / "walks.jpg"
    starts = torch.tensor([_middle((owners[0] == label).reshape(grid)) for label in labels])
    headings = [f"frame {time}" for time in times]
    images.write(picture, walks.draw(frames, steps[shown], grid, starts, labels=headings))
    return Section(
        name="walks",
        title="Random walks",
        blocks=[
            report.paragraph(
                "The training signal, shown on this clip. A walker starts on a cell of the first "
                "frame (boxed) and steps to one of the "
                f"{_LABELING.neighbors} most similar cells of the next frame, anywhere in the "
                "picture; bright cells are likely positions. In training, walks go to the end of a "
                "clip and back, and the encoder learns to make them return to their start. No "
                "label is needed."
            ),
            report.pictures([(picture, "One walk per object.")], wide=True),
            report.table(
                ["start", *scores],
                [
                    (report.swatch(label) + name, [shares[name] for shares in scores.values()])
                    for label, name in zip(labels, next(iter(scores.values())), strict=True)
                ],
                f"Share of walkers that are still on their object after {_NUM_STEPS} steps of "
                f"{stride} frames.",
            ),
        ],
        scores=scores,
    )


def _padded(frames: UInt8[Tensor, "t 3 h w"], cell: int) -> UInt8[Tensor, "t 3 h2 w2"]:
    """The frames, their border repeated up to whole cells."""
    height, width = frames.shape[2:]
    margins = (0, -width % cell, 0, -height % cell)
    return functional.pad(frames.float(), margins, mode="replicate").to(torch.uint8)


def _steps(encoder: FeatureModel, frames: UInt8[Tensor, "t 3 h w"]) -> list[Float[Tensor, "n n"]]:
    """The probabilities of every step (Eq. 3.1) to the spots that look most alike."""
    nodes = [rearrange(encoder.features(frame), "d h w -> 1 (h w) d") for frame in frames]
    steps = []
    for here, there in pairwise(nodes):
        likeness = similarity(here, there)
        best = likeness.topk(min(_LABELING.neighbors, likeness.shape[2]), dim=2).values
        likeness = likeness.masked_fill(likeness < best[..., -1:], DROPPED)
        steps.append(transition(likeness, _LABELING.temperature)[0])
    return steps


def _owners(masks: UInt8[Tensor, "t h w"], grid: tuple[int, int]) -> Int64[Tensor, "t n"]:
    """The object in the middle of every cell."""
    cells = functional.interpolate(masks[:, None].float(), grid, mode="nearest-exact")
    return rearrange(cells, "t 1 h w -> t (h w)").long()


def _stay(steps: Sequence[Float[Tensor, "n n"]], belongs: Bool[Tensor, "t n"]) -> float:
    """The probability that a walker from one of an object's cells ends on one of its cells."""
    walked = chain([step[None] for step in steps])[0]
    return float(walked[belongs[0]][:, belongs[-1]].sum(dim=1).mean())


def _middle(cells: Bool[Tensor, "h w"]) -> int:
    """The number of the marked cell that is nearest to the center of all."""
    places = cells.nonzero().float()
    row, column = places[(places - places.mean(dim=0)).norm(dim=1).argmin()].long().tolist()
    return int(row * cells.shape[1] + column)

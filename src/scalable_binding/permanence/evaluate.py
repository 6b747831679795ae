"""How well hidden objects are followed, beside what needs no learning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from scalable_binding.data.datasets import la_cater
from scalable_binding.data.frames import videos
from scalable_binding.data.labels.boxes import Box
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.games import hiding
from scalable_binding.data.synthetic.hiding import STATES, VISIBLE, hide
from scalable_binding.data.synthetic.plays import KINDS
from scalable_binding.engine.versions import installed_versions
from scalable_binding.errors import UserError
from scalable_binding.metrics import boxes as metrics
from scalable_binding.permanence import baselines
from scalable_binding.permanence.inference import load, track
from scalable_binding.permanence.model import SpatialMemory
from scalable_binding.permanence.presets import TrackingConfig

HELD_OUT = 1_000_003
"""Seed of the games to score on; no training run should have it."""


@dataclass(frozen=True)
class Case:
    """A clip to score on: frames, true boxes and states of some objects.

    ``kind`` is the group of clips that it counts in besides all. Objects are those that the first
    frame shows and that are to be scored.
    """

    kind: str
    frames: UInt8[Tensor, "_ 3 h w"]
    boxes: Float32[Tensor, "t o 4"]
    states: Int64[Tensor, "t o"]


def synthetic_cases(
    num: int, *, size: int = 48, num_frames: int = 16, seed: int = HELD_OUT
) -> Iterator[Case]:
    """Games of textures never trained on, ``num`` of each kind; the things in them are scored."""
    world = hiding(size=size, num_frames=num_frames, held_out=True)
    for number in range(num):
        for kind in KINDS:
            game = hide(world, scene_seed(seed, number), kind)
            is_thing = torch.tensor([role == "thing" for role in game.roles])
            chosen = is_thing & (game.states[0] == VISIBLE)
            if bool(chosen.any()):
                yield Case(kind, game.frames, game.boxes[:, chosen], game.states[:, chosen])


def la_cater_cases(root: Path) -> Iterator[Case]:
    """The videos of a part of LA-CATER in which the first frame shows the snitch.

    Raises:
        UserError: as ``data.datasets.la_cater.read``, or a video cannot be read.
    """
    for found in la_cater.read(root):
        if found.states[0] == VISIBLE:
            frames = torch.stack(list(videos.stream(found.video, stop=len(found.boxes))))
            count = len(frames)
            yield Case("snitch", frames, found.boxes[:count, None], found.states[:count, None])


def evaluate(
    weights: str | Path,
    cases: Iterable[Case],
    config: TrackingConfig | None = None,
    *,
    memoryless: str | Path | None = None,
) -> dict[str, Any]:
    """Scores of a network and of the baselines, with all that they depend on, fit for JSON.

    ``scores[name][measure][group][state]`` with "overlap" (mean IoU) and "distance" (mean, in
    pixels) as measures, the kinds of clip and "all" as groups, and as states "visible",
    "occluded", "contained", "carried" and "hidden" (the last three together).

    "model" is told the boxes of the first frame alone; "model, told" also the true box in every
    frame where an object is visible, as the baselines "last seen" and "constant velocity" are.

    Args:
        weights: of the network, as in ``inference.load``.
        cases: to score on.
        config: how to track.
        memoryless: weights of a network without memory, to score beside.

    Raises:
        UserError: no cases, or weights that cannot be used.
    """
    models = {"model": load(weights)}
    scored: list[Case] = []
    if memoryless is not None:
        models["memory-less"] = load(memoryless)
    predictions: dict[str, list[Tensor]] = {}
    for case in cases:
        scored.append(replace(case, frames=case.frames[:0]))
        for name, found in _baselines(case).items():
            predictions.setdefault(name, []).append(found)
        for name, model in models.items():
            for suffix, told in (("", False), (", told", True)):
                found = follow(model, case, config, told=told)
                predictions.setdefault(name + suffix, []).append(found)
    if not scored:
        raise UserError(
            "clips to score", expected="one whose first frame shows a thing", got="none"
        )
    return {
        "num_clips": len(scored),
        "scores": {name: score(scored, found) for name, found in predictions.items()},
        "versions": installed_versions(),
    }


def follow(
    model: SpatialMemory, case: Case, config: TrackingConfig | None = None, *, told: bool = False
) -> Float[Tensor, "t o 4"]:
    """The boxes that a network finds from those of the first frame.

    ``told`` gives it the true boxes of visible objects in every frame; hidden ones never.
    """
    given = prompts(case)
    corrections = dict(enumerate(given)) if told else None
    tracked = track(case.frames, given[0], model, config, corrections=corrections)
    return torch.tensor([[box.corners for box in found] for found in tracked])


def prompts(case: Case) -> list[list[Box]]:
    """The true boxes of the visible objects, frame by frame."""
    return [
        [
            Box(t, number, *corners)
            for number, corners in enumerate(case.boxes[t].tolist())
            if case.states[t, number] == VISIBLE
        ]
        for t in range(len(case.boxes))
    ]


def score(
    cases: Sequence[Case], predictions: Sequence[Float[Tensor, "_ _ 4"]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Mean overlap and distance by kind of clip and state; the first frame, given, is left out."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for measure, of in (("overlap", metrics.overlaps), ("distance", metrics.distances)):
        values: dict[str, list[Tensor]] = {}
        states: dict[str, list[Tensor]] = {}
        for case, found in zip(cases, predictions, strict=True):
            value = of(found[1:], case.boxes[1:]).flatten()
            for group in ("all", case.kind):
                values.setdefault(group, []).append(value)
                states.setdefault(group, []).append(case.states[1:].flatten())
        result[measure] = {
            group: metrics.by_state(torch.cat(values[group]), torch.cat(states[group]), STATES)
            for group in values
        }
    return result


def _baselines(case: Case) -> Mapping[str, Float[Tensor, "t o 4"]]:
    visible = case.states == VISIBLE
    height, width = case.frames.shape[-2:]
    return {
        "last seen": baselines.last_seen(case.boxes, visible),
        "constant velocity": baselines.constant_velocity(case.boxes, visible, (height, width)),
    }

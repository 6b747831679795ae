"""One synthetic clip of each kind of hiding, with tracks; scores on more of them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from einops import repeat
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.frames import images, videos
from scalable_binding.data.synthetic.hiding import STATES
from scalable_binding.demo.context import Context
from scalable_binding.permanence import evaluate
from scalable_binding.permanence.evaluate import Case
from scalable_binding.permanence.inference import load, track
from scalable_binding.permanence.model import SpatialMemory
from scalable_binding.plots import boxes, grids
from scalable_binding.report import Section

TITLE = "Behind screens, in cups, and in a shell game"

_ENLARGED = 6
_FPS = 5.0
_STILLS = 6
_NAMES = {
    "model, told": "walk along memory",
    "last seen": "last seen",
    "constant velocity": "constant velocity",
}
_CAPTIONS = {
    "occlusion": "Occlusion: objects pass behind screens, and screens pass over objects.",
    "containment": "Containment: a cup is lowered over an object and lifted again.",
    "carrying": "Carrying: the cup moves with the object inside.",
    "shell game": "Shell game: one of three identical cups hides the ball.",
}


def show(context: Context, weights: str) -> Section:
    """Videos and stills of a game of each kind, and mean distances in every state."""
    context.say("Hide and seek")
    network = load(weights)
    wanted = context.config.permanence.num_games
    cases = list(evaluate.synthetic_cases(wanted, size=network.side, seed=context.config.seed))
    blocks = [
        report.paragraph(
            "The tracker gets the boxes of the first frame only. Solid boxes: the object is "
            "visible. Dashed boxes with a cross: it is hidden, and its place comes from memory. "
            "Thin white boxes: ground truth."
        )
    ]
    for kind, caption in _CAPTIONS.items():
        shown = next((case for case in cases if case.kind == kind), None)
        if shown is None:
            continue
        name = kind.replace(" ", "-")
        drawn = torch.stack(list(_draw(shown, network)))
        clip, stills = context.out / f"{name}.mp4", context.out / f"{name}.png"
        videos.write(clip, drawn, fps=_FPS)
        chosen = torch.linspace(0, len(drawn) - 1, _STILLS).round().long()
        images.write(stills, grids.grid(drawn[chosen], columns=_STILLS))
        blocks += [report.video(clip, caption), report.pictures([(stills, caption)], wide=True)]
    scores = evaluate.evaluate(weights, cases)["scores"]
    told = {title: scores[name]["distance"]["all"] for name, title in _NAMES.items()}
    return Section(
        name="games", title=TITLE, blocks=[*blocks, report.paragraph(_compare(told))], scores=told
    )


def _draw(case: Case, network: SpatialMemory) -> Iterator[UInt8[Tensor, "3 h w"]]:
    found = track(case.frames, evaluate.prompts(case)[0], network)
    for frame, tracked, truth in zip(case.frames, found, case.boxes, strict=True):
        large = repeat(frame, "c h w -> c (h y) (w x)", y=_ENLARGED, x=_ENLARGED)
        yield boxes.draw(
            large,
            _enlarged(torch.tensor([box.corners for box in tracked])),
            torch.tensor([box.visible for box in tracked]),
            truth=_enlarged(truth),
        )


def _enlarged(corners: Float[Tensor, "o 4"]) -> Float[Tensor, "o 4"]:
    return (corners + 0.5) * _ENLARGED - 0.5


def _compare(scores: dict[str, dict[str, float]]) -> str:
    """The mean distances in words, state by state."""
    states = [state for state in (*STATES[1:], "hidden") if state in scores["last seen"]]
    lines = [
        f"*{'hidden, all together' if state == 'hidden' else state}*: "
        + ", ".join(f"{title} {scores[title][state]:.1f}" for title in scores)
        for state in states
    ]
    return (
        "Mean distance from the true position while objects are hidden, in pixels of a 48-pixel "
        "frame, when every method gets the true position while an object is visible; "
        f"{'; '.join(lines)}."
    )

"""Maps of the tasks that the agent made, at the beginning and at the end of its training."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding.carml.evaluate import Skills, practise_round
from scalable_binding.carml.rounds import list_rounds
from scalable_binding.data import images
from scalable_binding.demo import report
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage
from scalable_binding.envs.layouts import FIXED_PLACES
from scalable_binding.plots import grids, skills
from scalable_binding.plots.skills import Plane, Track

PLANE = Plane(places=FIXED_PLACES, size=112)
_COLUMNS = 8


def show(stage: Stage, run: Path) -> Section:
    """Skill maps of the first round and of the last, and what they come to in numbers."""
    stage.say("Tasks that nobody gave")
    num_trials = stage.config.carml.num_trials
    first, *_, last = list_rounds(run) * 2
    early = practise_round(run, first, num_trials=num_trials)
    late = practise_round(run, num_trials=num_trials)
    pictures = []
    for name, found in (("early", early), ("late", late)):
        path = stage.out / f"skills-{name}.png"
        images.write(path, grids.grid(draw(found), columns=_COLUMNS))
        pictures.append(path)
    legend = stage.out / "compass.png"
    images.write(legend, skills.compass(120))
    return Section(
        name="skills",
        title="Tasks that nobody gave",
        blocks=[
            report.paragraph(
                "Each map is the room from above with what the agent does for one of its tasks: "
                "where it goes, in a colour for the direction it looks. It was given nothing but "
                "rewards that say how well what it sees goes with the task. White dots are the "
                "objects; every way begins at the top."
            ),
            report.pictures(
                [(pictures[0], f"Round {first}, sorted from what chance did.")], wide=True
            ),
            report.pictures(
                [(pictures[1], f"Round {last}, sorted from what the agent had learned to do.")],
                wide=True,
            ),
            report.pictures([(legend, "Colours of directions.")]),
            report.table(
                ("", f"round {first}", f"round {last}"),
                [
                    (name, (early.figures[key], late.figures[key]))
                    for name, key in (
                        ("share of the room that is visited", "coverage"),
                        ("what a place tells about the task, nats", "information"),
                    )
                ],
                "Last episodes of trials of the agent's own tasks.",
            ),
        ],
        scores={"first round": early.figures, "last round": late.figures},
    )


def draw(found: Skills) -> UInt8[Tensor, "k 3 h w"]:
    """A map for each task."""
    colours = skills.heading_colours(found.truths["heading"])
    num_tasks = int(found.tasks.max()) + 1
    track = Track(found.positions.float(), colours)
    return skills.skill_maps([track], found.tasks.long().to(torch.int64), num_tasks, PLANE)

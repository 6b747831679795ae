"""Maps of the agent's own tasks, early and late in training."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.carml.inference import read_config
from scalable_binding.carml.round_files import list_rounds
from scalable_binding.carml.skills import Skills, rollout_round
from scalable_binding.data.frames import images
from scalable_binding.demo.context import Context
from scalable_binding.envs import registry
from scalable_binding.envs.batch import GroundTruth
from scalable_binding.plots import grids, skills
from scalable_binding.plots.skills import Plane, Track
from scalable_binding.report import Section

_COLUMNS = 8


def plane(name: str) -> Plane:
    """The map of an environment, with what always stands in it."""
    world = registry.describe(name)
    if world is None:
        return Plane(size=112)
    return Plane(low=world.map_low, high=world.map_high, places=world.places, size=112)


def colors(truths: GroundTruth) -> Float[Tensor, "n t 3"]:
    """Colors of positions: by heading where there is one, else by time."""
    if "heading" in truths:
        return skills.heading_colors(truths["heading"])
    return skills.time_colors(*truths["position"].shape[:2])


def show(context: Context, run: Path) -> Section:
    """Skill maps of the first round and of the last, and what they come to in numbers."""
    context.say("Self-invented tasks")
    num_trials = context.config.carml.num_trials
    world = plane(read_config(run).environment.name)
    first, *_, last = list_rounds(run) * 2
    early = rollout_round(run, first, num_trials=num_trials)
    late = rollout_round(run, num_trials=num_trials)
    pictures = []
    for name, found in (("early", early), ("late", late)):
        path = context.out / f"skills-{name}.png"
        images.write(path, grids.grid(draw(found, world), columns=_COLUMNS))
        pictures.append(path)
    looks = "heading" in late.truths
    meaning = "heading" if looks else "time, from blue to yellow"
    objects = " White dots are the objects." if world.places else ""
    return Section(
        name="skills",
        title="Self-invented tasks",
        blocks=[
            report.paragraph(
                "Each map shows, from above, the agent's trajectories on one of its tasks, colored "
                f"by {meaning}. Its only reward is how well its observations fit the task.{objects}"
            ),
            report.pictures(
                [(pictures[0], f"Round {first}: tasks from random exploration.")], wide=True
            ),
            report.pictures(
                [(pictures[1], f"Round {last}: tasks from the trained agent's experience.")],
                wide=True,
            ),
            *([_legend(context)] if looks else []),
            report.table(
                ("", f"round {first}", f"round {last}"),
                [
                    (name, (early.figures[key], late.figures[key]))
                    for name, key in (
                        ("share of the plane visited", "coverage"),
                        ("mutual information of place and task, nats", "information"),
                    )
                ],
                "Last episodes of trials on the agent's own tasks.",
            ),
        ],
        scores={"first round": early.figures, "last round": late.figures},
    )


def draw(found: Skills, world: Plane) -> UInt8[Tensor, "k 3 h w"]:
    """A map for each task."""
    num_tasks = int(found.tasks.max()) + 1
    track = Track(found.positions.float(), colors(found.truths))
    return skills.skill_maps([track], found.tasks.long(), num_tasks, world)


def _legend(context: Context) -> str:
    path = context.out / "compass.png"
    images.write(path, skills.compass(120))
    return report.pictures([(path, "Colors of directions.")])

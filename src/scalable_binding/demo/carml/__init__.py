"""CARML: an agent that invented its own tasks, and how it adapts to new ones."""

from dataclasses import replace
from pathlib import Path

from scalable_binding import report, weights
from scalable_binding.carml.inference import read_config
from scalable_binding.demo.carml import skills, trials
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.report import Section

_COMMANDS = """
# an agent for any Gymnasium environment with pixels or a state; its rewards are ignored
sbind carml train --preset room --env my_package.worlds:Mine-v0 --run runs/mine

# four episodes with your own reward, without training
sbind carml adapt runs/mine --task rewards.py:reward
"""


def sections(context: Context) -> list[Section]:
    """The agent's own tasks, trials of tasks that are new to it, and how to have one's own.

    Raises:
        UserError: the run cannot be used, or a file cannot be written.
    """
    given = context.config.carml.run
    runs = shipped() if given is None else [Path(given)]
    told = [section for run in runs for section in _show(context, run)]
    return [*(told or [_missing()]), _how_to()]


def shipped() -> list[Path]:
    """The run folders of the agents that ship."""
    return [weights.folder("carml", name) for name in weights.names("carml")]


def _show(context: Context, run: Path) -> list[Section]:
    """What one agent practices, and what it does with a reward."""
    world = read_config(run).environment.name
    place = replace(context, out=context.out / world)
    told = (skills.show(place, run), trials.show(place, run))
    return [
        replace(section, name=f"{world}-{section.name}", title=f"{section.title}: the {world}")
        for section in told
    ]


def _missing() -> Section:
    return Section(
        name="skills",
        title="Self-invented tasks",
        blocks=[report.note("This installation has no trained agent.")],
    )


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own environment",
        blocks=[
            report.paragraph(
                "Any Gymnasium environment with pixels or a state works. `sbind carml finetune` "
                "continues training on a reward; `sbind carml evaluate` writes a report like "
                "this one."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="carml",
    title="Pre-train without rewards, adapt in four episodes",
    lead="Without rewards, the agent clusters its experience into tasks, meta-learns to solve "
    "them, and clusters again with the new experience. Then it gets a reward it has never seen.",
    run=sections,
)

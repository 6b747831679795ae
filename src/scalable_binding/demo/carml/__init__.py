"""CARML: an agent that made tasks of its own, shown with these and with new ones."""

from dataclasses import replace
from pathlib import Path

from scalable_binding import report
from scalable_binding.carml.inference import read_config
from scalable_binding.demo.carml import skills, trials
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.report import Section

WEIGHTS = Path(__file__).parents[2] / "weights"

AGENTS = ("carml-maze", "carml-room")
"""Agents that may ship; those that do are shown."""

_COMMANDS = """
# an agent for any Gymnasium environment with pixels or a state; rewards are not looked at
sbind carml train --preset room --env my_package.worlds:Mine-v0 --run runs/mine

# four episodes with a reward of yours, and nothing is trained
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
    return [WEIGHTS / name for name in AGENTS if (WEIGHTS / name).is_dir()]


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
        title="Tasks that nobody gave",
        blocks=[report.note("This installation holds no trained agent.")],
    )


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own environment",
        blocks=[
            report.paragraph(
                "Any Gymnasium environment will do. `sbind carml finetune` goes on training with "
                "a reward, `sbind carml evaluate` draws a report like this one."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="carml",
    title="Practice without a reward, adapt to one in four episodes",
    lead="In a world without any reward an agent sorts what it has seen into tasks, practices how "
    "to find out which of them it is given, and starts over with what it has seen meanwhile. Then "
    "it meets a reward that it has never had.",
    run=sections,
)

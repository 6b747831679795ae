"""CARML: an agent that made tasks of its own, shown with these and with new ones."""

from pathlib import Path

from scalable_binding.demo import report
from scalable_binding.demo.carml import skills, trials
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage, Story

WEIGHTS = Path(__file__).parents[2] / "weights"

AGENTS = ("carml-room", "carml-maze")
"""Agents that may ship; the first that does is shown."""

_COMMANDS = """
# an agent for any Gymnasium environment with pixels or a state; rewards are not looked at
sbind carml train --preset room --env my_package.worlds:Mine-v0 --run runs/mine

# four episodes with a reward of yours, and nothing is trained
sbind carml adapt runs/mine --task rewards.py:reward
"""


def sections(stage: Stage) -> list[Section]:
    """The agent's own tasks, trials of tasks that are new to it, and how to have one's own.

    Raises:
        UserError: the run cannot be used, or a file cannot be written.
    """
    given = stage.config.carml.run
    run = shipped() if given is None else Path(given)
    if run is None:
        return [_missing(), _how_to()]
    return [skills.show(stage, run), trials.show(stage, run), _how_to()]


def shipped() -> Path | None:
    """The run folder of the agent that ships, if one does."""
    return next((WEIGHTS / name for name in AGENTS if (WEIGHTS / name).is_dir()), None)


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


STORY = Story(
    name="carml",
    title="Practise without a reward, adapt to one in four episodes",
    lead="In a world without any reward an agent sorts what it has seen into tasks, practises how "
    "to find out which of them it is given, and starts over with what it has seen meanwhile. Then "
    "it meets a reward that it has never had.",
    tell=sections,
)

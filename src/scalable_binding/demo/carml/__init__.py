"""CARML: an agent that made tasks of its own, shown with these and with new ones."""

from pathlib import Path

from scalable_binding.demo import report
from scalable_binding.demo.carml import skills, trials
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage, Story

SHIPPED = Path(__file__).parents[2] / "weights" / "carml-room"

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
    run = SHIPPED if stage.config.carml.run is None else Path(stage.config.carml.run)
    if run == SHIPPED and not run.is_dir():
        return [_missing(), _how_to()]
    return [skills.show(stage, run), trials.show(stage, run), _how_to()]


def _missing() -> Section:
    return Section(
        name="skills",
        title="Tasks that nobody gave",
        blocks=[report.note("This installation holds no trained agent of the room.")],
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
    lead="The agent sees a room through its own eyes. Without any reward it sorts what it has seen "
    "into tasks, practises how to find out which of them it is given, and starts over with what "
    "it has seen meanwhile. Then it meets a reward that it has never had.",
    tell=sections,
)

"""The random walk along memory: objects followed while nothing is seen of them."""

from scalable_binding import report
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.permanence import games
from scalable_binding.permanence import inference
from scalable_binding.report import Section

_COMMANDS = """
sbind permanence track VIDEO --boxes first.csv --out tracked
sbind permanence track synthetic --kind "shell game" --seed 3 --out game

# a tracker of your own
sbind permanence train --run runs/mine
sbind permanence evaluate synthetic --weights runs/mine
"""


def sections(context: Context) -> list[Section]:
    """One game of each kind, scores on more of them, and how to do the same with a video.

    Raises:
        UserError: the weights cannot be used, or a file cannot be written.
    """
    weights = context.config.permanence.weights
    if weights is None and not inference.SHIPPED.is_dir():
        text = "This installation holds no trained tracker."
        return [Section(name="games", title=games.TITLE, blocks=[report.note(text)])]
    return [games.show(context, weights or "shipped"), _how_to()]


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own video",
        blocks=[
            report.paragraph(
                "A table with the boxes of the first frame is all that is needed. The tracker that "
                "ships has seen synthetic games alone, in frames of 48 pixels, for three minutes: "
                "it shows the method with its faults, and is no tool for real videos."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="permanence",
    title="Out of sight, not out of mind",
    lead="Objects go on existing behind others and in cups. Nobody tells the network where they "
    "are then: a walker along the states of its memory must be with the object when that is seen "
    "again, and so learns to stay with it meanwhile.",
    run=sections,
)

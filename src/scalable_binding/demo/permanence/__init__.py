"""The random walk along memory: objects tracked while fully hidden."""

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
        text = "This installation has no trained tracker."
        return [Section(name="games", title=games.TITLE, blocks=[report.note(text)])]
    return [games.show(context, weights or "shipped"), _how_to()]


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own video",
        blocks=[
            report.paragraph(
                "You need a table with the boxes of the first frame. The bundled tracker was "
                "trained for minutes on small synthetic clips: it demonstrates the method and is "
                "not a tool for real videos yet."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="permanence",
    title="Out of sight, not out of mind",
    lead="Objects keep existing behind others and inside cups. The network gets no labels for "
    "hidden objects: a random walk along its memory states has to arrive at the object when it "
    "reappears, and so learns where it was in between.",
    run=sections,
)

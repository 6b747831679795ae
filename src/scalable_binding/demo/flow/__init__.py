"""Optical flow and point tracks: on a real clip, and on a synthetic one beside the truth."""

from scalable_binding import report
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.flow import motion, real, tracks
from scalable_binding.flow import model
from scalable_binding.report import Section

_COMMANDS = """
sbind flow estimate video.mp4 --out flow --overlay flow.mp4
sbind flow track video.mp4 --points points.csv --out tracks.csv --overlay tracks.mp4

# a network of your own, from a folder of unlabeled videos
sbind flow train VIDEOS --run runs/flow
sbind flow estimate video.mp4 --out flow --weights runs/flow
"""


def sections(context: Context) -> list[Section]:
    """A real clip, flow and points of a rendered one, and how to do the same with one's own videos.

    Raises:
        UserError: the weights cannot be used, or a file cannot be written.
    """
    network = model.load(context.config.flow.weights or "shipped")
    scene = motion.draw_scene(context.config)
    return [
        real.show(context, network),
        motion.show(context, scene, network),
        tracks.show(context, scene, network),
        _how_to(),
    ]


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own videos",
        blocks=[
            report.paragraph(
                "You need a video or two images; for point tracks also a table `frame,id,x,y`:"
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="flow",
    title="Optical flow and point tracks",
    lead="The multiscale contrastive random walk: the same walk with pixels as nodes, from coarse "
    "to fine. The network learned optical flow and point tracks from unlabeled video.",
    run=sections,
)

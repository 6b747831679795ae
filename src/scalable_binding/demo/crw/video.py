"""Real videos: the clip that ships, the user's own, and the commands to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding import plots, report
from scalable_binding.crw import inference
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import masks
from scalable_binding.demo.clips import CLIP
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw.contest import Contest
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.errors import UserError
from scalable_binding.plots import confidence
from scalable_binding.report import Section

_LARGEST = 480
"""Pixels of the short side above which a video is shown smaller, to keep the report small."""

_COMMANDS = """
# masks: paint frame 0 in any editor, one gray level or color an object, and save it as PNG
sbind crw propagate video.mp4 --labels first.png --out labels --overlay overlay.mp4

# key points: a table with the columns frame,id,x,y
sbind crw propagate video.mp4 --labels points.csv --out labels --overlay overlay.mp4

# this report, with your video in it
sbind demo --video video.mp4 --labels first.png --out demo
"""

_PYTHON = """
from scalable_binding.crw import inference, model
from scalable_binding.data.labels import masks
from scalable_binding.data.frames import videos

frames, labels = videos.stream("video.mp4"), masks.read("first.png")
for found in inference.propagate(frames, labels, model.load("shipped")):
    masks.write(f"labels/{found.frame:05}.png", found.labels)
"""


def bundled(context: Context, contest: Contest) -> Section:
    """A real clip that ships with the package, labeled from the mask of its first frame.

    Raises:
        UserError: a file cannot be written.
    """
    context.say("A real video")
    path, labels = CLIP / "juggling.mp4", CLIP / "juggling.png"
    blocks, count = _propagated(context, contest, path, labels, context.config.crw.num_clip_frames)
    said = report.paragraph(
        f"A person painted two objects in *one* frame. The {contest.shown} carried both through "
        f"the other {count - 1} frames, in one pass and without training on this clip. The video "
        "has no other labels, so there is nothing to score: watch the outlines, the fast ball, "
        "and the confidence map, which is dark where a correction would help."
    )
    blocks = [said, *blocks]
    return Section(name="clip", title="A real video", blocks=blocks, scores={"frames": count})


def own(context: Context, contest: Contest) -> Section:
    """The user's video, labeled from the mask of its first frame.

    Raises:
        UserError: the video or its labels cannot be used.
    """
    path, labels = context.config.crw.video, context.config.crw.labels
    assert path is not None and labels is not None
    context.say("Your video")
    size = _shown_size(labels, path)
    most = context.config.crw.num_video_frames
    blocks, count = _propagated(context, contest, path, labels, most)
    said = report.paragraph(
        f"The first {count} frames of `{path.name}` at {size} pixels on the short side, labeled by "
        f"the {contest.shown} from the mask of the first frame."
    )
    return Section(
        name="video",
        title="Your video",
        blocks=[said, *blocks],
        scores={"file": path.name, "frames": count},
    )


def _propagated(
    context: Context, contest: Contest, path: Path, labels: Path, most: int
) -> tuple[list[str], int]:
    """The first frame, its mask and a video of the masks, as blocks; and the number of frames."""
    size, name = _shown_size(labels, path), path.stem
    first = next(videos.stream(path, size=size))
    ids = masks.read(labels)
    ids = functional.interpolate(ids[None, None], first.shape[1:], mode="nearest-exact")[0, 0]
    frame, mask, clip = (
        context.out / f"{name}{end}" for end in ("_frame.jpg", "_mask.jpg", ".mp4")
    )
    images.write(frame, first)
    images.write(mask, plots.overlay(first, ids))
    panels = _label(context, contest, path, ids, size=size, most=most)
    count = videos.write(clip, panels, fps=videos.probe(path).fps)
    blocks = [
        report.pictures([(frame, "The first frame."), (mask, f"Its mask, `{labels.name}`.")]),
        report.video(clip, "Propagated masks, and their confidence."),
    ]
    return blocks, count


def _shown_size(labels: Path, video: Path) -> int:
    """Pixels of the short side at which a video is shown; its mask must have the video's size."""
    info, shape = videos.probe(video), masks.read(labels).shape
    if shape != (info.height, info.width):
        expected = f"the size of {video}, {info.height} x {info.width} pixels"
        raise UserError(f"mask {labels}", expected=expected, got=f"{shape[0]} x {shape[1]}")
    return min(_LARGEST, *shape)


def _label(
    context: Context,
    contest: Contest,
    path: Path,
    ids: UInt8[Tensor, "h w"],
    *,
    size: int,
    most: int,
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    """Frames with masks and confidence side by side, in bounded memory."""
    frames, again = (videos.stream(path, size=size, stop=most) for _ in range(2))
    known = videos.probe(path).num_frames or most
    found = inference.propagate(frames, ids, contest.models[contest.shown])
    tracked = context.track(found, path.name, min(known, most))
    for frame, one in zip(again, tracked, strict=True):
        sure = confidence.draw(frame, one.confidence, color_map="viridis")
        yield tiled([titled(plots.overlay(frame, one.labels), "masks"), titled(sure, "confidence")])


def how_to() -> Section:
    """Commands and Python that label a video of the reader's own."""
    return Section(
        name="own",
        title="Your own video",
        blocks=[
            report.paragraph(
                "You need a video (a file or a folder of frames) and the labels of one frame. "
                "Object ids are kept. Add objects or corrections at any frame with "
                "`--correct 17=mask.png`."
            ),
            report.code(_COMMANDS),
            report.paragraph("The same in Python, one frame at a time, in bounded memory:"),
            report.code(_PYTHON),
            report.paragraph(
                "To train an encoder on your own unlabeled videos, run `sbind crw train VIDEOS "
                "--run RUN`, then add `--weights RUN` to the commands above."
            ),
        ],
    )

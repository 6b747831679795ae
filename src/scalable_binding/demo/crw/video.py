"""A video of the user's own, and how to go on after the demo."""

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


def show(context: Context, contest: Contest) -> Section:
    """The user's video with its masks and their confidence, or how to bring one.

    Raises:
        UserError: the video or its labels cannot be used.
    """
    path, labels = context.config.crw.video, context.config.crw.labels
    if path is None or labels is None:
        missing = [
            report.paragraph(
                "No real video ships with the package and none was given, so there is none here. "
                "This shows yours; the mask is that of its first frame:"
            ),
            report.code("sbind demo --video video.mp4 --labels first.png --out demo --overwrite"),
        ]
        return Section(name="video", title="A real video", blocks=missing)
    context.say("Your video")
    ids = _read_mask(labels, path)
    size = min(_LARGEST, *ids.shape)
    first, mask = context.out / "video_frame.jpg", context.out / "video_mask.jpg"
    frame = next(videos.stream(path, size=size))
    ids = functional.interpolate(ids[None, None], frame.shape[1:], mode="nearest-exact")[0, 0]
    images.write(first, frame)
    images.write(mask, plots.overlay(frame, ids))
    clip = context.out / "video.mp4"
    count = videos.write(clip, _label(context, contest, size, ids), fps=videos.probe(path).fps)
    return Section(
        name="video",
        title="A real video",
        blocks=[
            report.paragraph(
                f"The first {count} frames of `{path.name}`, with {size} pixels on the short side, "
                f"labeled from the mask of the first by the {contest.shown}. There is no truth to "
                "compare with; the confidence tells where a correction helps most."
            ),
            report.pictures([(first, "The first frame."), (mask, f"Its mask, `{labels.name}`.")]),
            report.video(clip, "Masks, and confidence."),
        ],
        scores={"file": path.name, "frames": count},
    )


def _read_mask(labels: Path, video: Path) -> UInt8[Tensor, "h w"]:
    """The mask of the first frame of a video, whose size it must have."""
    info = videos.probe(video)
    ids = masks.read(labels)
    if ids.shape != (info.height, info.width):
        expected = f"the size of {video}, {info.height} x {info.width} pixels"
        got = f"{ids.shape[0]} x {ids.shape[1]}"
        raise UserError(f"mask {labels}", expected=expected, got=got)
    return ids


def _label(
    context: Context, contest: Contest, size: int, ids: UInt8[Tensor, "h w"]
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    """The frames with their masks and their confidence, side by side; few in memory at a time."""
    path, most = context.config.crw.video, context.config.crw.num_video_frames
    assert path is not None
    frames, again = (videos.stream(path, size=size, stop=most) for _ in range(2))
    known = videos.probe(path).num_frames or most
    found = inference.propagate(frames, ids, contest.models[contest.shown])
    tracked = context.track(found, path.name, min(known, most))
    for frame, one in zip(again, tracked, strict=True):
        sure = confidence.draw(frame, one.confidence, color_map="viridis")
        yield tiled([titled(plots.overlay(frame, one.labels), "masks"), titled(sure, "confidence")])


def how_to() -> Section:
    """The commands and the lines of Python that label a video of the reader's own."""
    return Section(
        name="own",
        title="Your own video",
        blocks=[
            report.paragraph(
                "A video file or a folder of frames and the labels of one frame are all that is "
                "needed. Object ids are kept; new objects and corrections can come at any frame "
                "(`--correct 17=mask.png`); `sbind crw propagate --help` tells the rest."
            ),
            report.code(_COMMANDS),
            report.paragraph("The same in Python, one frame at a time and in bounded memory:"),
            report.code(_PYTHON),
            report.paragraph(
                "An encoder of your own, from unlabeled videos: `sbind crw train VIDEOS --run "
                "RUN`, and then `--weights RUN` with the commands above."
            ),
        ],
    )

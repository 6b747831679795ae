"""A video of the user's own, and how to go on after the demo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import plots
from scalable_binding.crw import inference, model
from scalable_binding.data import images, masks, videos
from scalable_binding.demo import report
from scalable_binding.demo.montage import pairs, titled
from scalable_binding.demo.report import Section
from scalable_binding.demo.stage import Stage
from scalable_binding.plots import confidence

_COMMANDS = """
# masks: paint frame 0 in any editor, one grey level or colour an object, and save it as PNG
sbind crw propagate video.mp4 --labels first.png --out labels --overlay overlay.mp4

# key points: a table with the columns frame,id,x,y
sbind crw propagate video.mp4 --labels points.csv --out labels --overlay overlay.mp4

# this report, with your video in it
sbind demo --video video.mp4 --labels first.png --out demo
"""

_PYTHON = """
from scalable_binding.crw import inference, model
from scalable_binding.data import masks, videos

frames, labels = videos.stream("video.mp4"), masks.read("first.png")
for found in inference.propagate(frames, labels, model.load("shipped")):
    masks.write(f"labels/{found.frame:05}.png", found.labels)
"""


def sections(stage: Stage) -> list[Section]:
    """The user's video with its masks where one is given, and how to label one.

    Raises:
        UserError: the video or its labels cannot be used.
    """
    return [_real_video(stage), _how_to()]


def _real_video(stage: Stage) -> Section:
    video, labels = stage.config.video, stage.config.labels
    if video is None or labels is None:
        said = (
            "No real video ships with the package, and none was given. `sbind demo --video FILE "
            "--labels FIRST.png` shows yours here; the mask is that of its first frame."
        )
        return Section(name="video", title="A real video", blocks=[report.paragraph(said)])
    stage.say("Your video")
    clip = stage.out / "video.mp4"
    info = videos.probe(video)
    count = videos.write(clip, _label(stage, video, labels), fps=info.fps)
    first, mask = stage.out / "video_frame.jpg", stage.out / "video_mask.jpg"
    frame = next(videos.stream(video))
    images.write(first, frame)
    images.write(mask, plots.overlay(frame, masks.read(labels)))
    return Section(
        name="video",
        title="A real video",
        blocks=[
            report.paragraph(
                f"The first {count} frames of `{video.name}` ({info.height} x {info.width} "
                "pixels), labelled from the mask of the first. There is no truth to compare with; "
                "the confidence tells where a correction helps most."
            ),
            report.pictures([(first, "The first frame."), (mask, f"Its mask, `{labels.name}`.")]),
            report.video(clip, "Masks, and confidence."),
        ],
        scores={"file": video.name, "frames": count},
    )


def _label(stage: Stage, video: Path, labels: Path) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    """The frames with their masks and their confidence, side by side."""
    count = stage.config.num_video_frames
    encoder = model.load(stage.config.weights, seed=stage.config.seed)
    frames = torch.stack(list(videos.stream(video, stop=count)))
    found = inference.propagate(frames, masks.read(labels), encoder)
    for frame, one in zip(frames, stage.track(found, video.name, len(frames)), strict=True):
        sure = confidence.draw(frame, one.confidence, colour_map="viridis")
        yield pairs([titled(plots.overlay(frame, one.labels), "masks"), titled(sure, "confidence")])


def _how_to() -> Section:
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
                "An encoder of your own, from unlabelled videos: `sbind crw train VIDEOS --run "
                "RUN`, and then `--weights RUN` with the commands above."
            ),
        ],
    )

"""Flow and point tracks of the real clip that ships."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import masks
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.demo.clips import CLIP
from scalable_binding.demo.context import Context
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.flow import tracks
from scalable_binding.flow.inference import estimate_video
from scalable_binding.flow.model import FlowNet
from scalable_binding.flow.tracks import Track
from scalable_binding.plots import flow as drawn
from scalable_binding.plots import keypoints
from scalable_binding.report import Section

_SIZE = 240
"""Pixels of the short side."""

_EACH = 4
"""Points tracked on each labeled object."""

_TRAIL = 10


def show(context: Context, network: FlowNet) -> Section:
    """A video of the flow and of points on the two objects; there is no truth to score against."""
    context.say("Flow of a real video")
    path = CLIP / "juggling.mp4"
    frames = list(islice(videos.stream(path, size=_SIZE), context.config.flow.num_frames * 2))
    flows = [found.flow for found in estimate_video(frames, network)]
    points = _points(masks.read(CLIP / "juggling.png"), frames[0].shape[1:])
    found = list(tracks.follow(frames, points, network))
    panels = list(_panels(frames, flows, found))
    picture, clip = context.out / "real_flow.jpg", context.out / "real_flow.mp4"
    images.write(picture, panels[len(panels) // 2])
    videos.write(clip, panels, fps=videos.probe(path).fps / 2)
    return Section(
        name="real",
        title="A real video",
        blocks=[
            report.paragraph(
                f"{len(points)} points in the first frame, on the painted objects, and the optical "
                f"flow of {len(frames)} frames. Hue is the direction of motion, saturation its "
                "length; a dot is drawn while its point is estimated to be visible. Nothing was "
                "trained on this clip, and no truth is known."
            ),
            report.video(clip, "Points with their trails, and the flow to the next frame."),
            report.pictures([(picture, "One frame of the video.")]),
        ],
        scores={"points": len(points), "frames": len(frames)},
    )


def _points(ids: UInt8[Tensor, "h w"], size: Sequence[int]) -> list[Keypoint]:
    """Places spread over each labeled object, in pixels of the frames shown."""
    scale = size[0] / ids.shape[0]
    found: list[Keypoint] = []
    for number in torch.unique(ids[ids > 0]).tolist():
        rows, columns = (ids == number).nonzero(as_tuple=True)
        for share in torch.linspace(0.15, 0.85, _EACH).tolist():
            chosen = int(share * (len(rows) - 1))
            x, y = (float(place[chosen] + 0.5) * scale - 0.5 for place in (columns, rows))
            found.append(Keypoint(frame=0, id=len(found), x=x, y=y))
    return found


def _panels(
    frames: Sequence[UInt8[Tensor, "3 h w"]],
    flows: Sequence[Float[Tensor, "2 h w"]],
    found: Sequence[Sequence[Track]],
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    largest = float(torch.stack(list(flows)).norm(dim=1).flatten()[::7].quantile(0.99))
    nowhere = (float("nan"), float("nan"))
    ways = torch.tensor(
        [[(one.x, one.y) if one.visible else nowhere for one in listed] for listed in found]
    )
    for number, (frame, flow) in enumerate(zip(frames[:-1], flows, strict=True)):
        past = ways[max(0, number - _TRAIL) : number]
        dotted = keypoints.draw(frame, ways[number], trail=past if len(past) else None)
        yield tiled([titled(dotted, "points"), titled(drawn.draw(flow, largest), "flow")])

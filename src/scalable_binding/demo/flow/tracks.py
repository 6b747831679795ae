"""Point tracks through the clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.data.frames import videos
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.context import Context
from scalable_binding.demo.flow.motion import FPS
from scalable_binding.flow import tracks
from scalable_binding.flow.model import FlowNet
from scalable_binding.flow.tracks import Track
from scalable_binding.plots import keypoints as drawn
from scalable_binding.report import Section

_TRAIL = 12
_NEAR = 5.0
_MOST = 12


def show(context: Context, scene: Scene, network: FlowNet) -> Section:
    """A video of the points with their trails, and how far they are from the truth at the end."""
    context.say("Point tracks")
    points = _points(scene)
    if not points:
        said = "No key point is visible in the first frame of this clip, so none was tracked."
        return Section(name="tracks", title="Point tracks", blocks=[report.paragraph(said)])
    found = list(tracks.follow(scene.frames, points, network))
    clip = context.out / "tracks.mp4"
    videos.write(clip, _draw(scene, found), fps=FPS)
    scores = _score(scene, found)
    return Section(
        name="tracks",
        title="Point tracks",
        blocks=[
            report.paragraph(
                f"{len(points)} points were given in the first frame; a dot is drawn while its "
                "point is estimated to be visible. While truly visible, "
                f"{scores['near']:.0%} of the points are within {_NEAR:.0f} pixels of the truth "
                f"({scores['near, left in place']:.0%} if points stay where they started). "
                f"Visibility is right in {scores['visibility']:.0%} of the cases."
            ),
            report.video(clip, "Points with their trails."),
        ],
        scores=scores,
    )


def _points(scene: Scene) -> list[Keypoint]:
    seen = [
        Keypoint(frame=0, id=number, x=x, y=y)
        for number, (x, y) in enumerate(scene.keypoints[0].tolist())
        if scene.visible[0, number]
    ]
    return seen[:: max(1, len(seen) // _MOST)][:_MOST]


def _score(scene: Scene, found: Sequence[Sequence[Track]]) -> dict[str, float]:
    later = [track for listed in found[1:] for track in listed]
    truth = torch.stack([scene.keypoints[track.frame, track.id] for track in later])
    start = torch.stack([scene.keypoints[0, track.id] for track in later])
    visible = torch.stack([scene.visible[track.frame, track.id] for track in later])
    places = torch.tensor([(track.x, track.y) for track in later])
    said = torch.tensor([track.visible for track in later])
    near = ((places - truth).norm(dim=-1) < _NEAR)[visible]
    still = ((start - truth).norm(dim=-1) < _NEAR)[visible]
    return {
        "near": float(near.float().mean()) if len(near) else 0.0,
        "near, left in place": float(still.float().mean()) if len(still) else 0.0,
        "visibility": float((said == visible).float().mean()),
    }


def _draw(scene: Scene, found: Sequence[Sequence[Track]]) -> Iterator[UInt8[Tensor, "3 h w"]]:
    nowhere = (float("nan"), float("nan"))
    ways = torch.tensor(
        [[(one.x, one.y) if one.visible else nowhere for one in listed] for listed in found]
    )
    for number, frame in enumerate(scene.frames):
        sure = torch.tensor([one.confidence for one in found[number]]).sqrt()
        past = ways[max(0, number - _TRAIL) : number]
        trail = past if len(past) else None
        yield drawn.draw(frame, ways[number], confidence=sure, trail=trail)

"""Key points, carried from the first frame to all others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import report
from scalable_binding.crw.inference import Prediction
from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw.contest import Contest, carry
from scalable_binding.demo.crw.scene import FPS
from scalable_binding.demo.montage import tiled, titled
from scalable_binding.metrics.keypoints import pck, relative_errors
from scalable_binding.plots import keypoints as drawn
from scalable_binding.report import Section

_TRAIL = 15
"""Length of a point's trail in the video, in frames."""

_ALPHAS = (0.1, 0.2)

_LOST = 0.1
"""Confidence below which a point's trail is not drawn."""


def show(context: Context, contest: Contest) -> Section:
    """A picture and a video of the points with their trails, and PCK of every encoder."""
    context.say("Key points")
    scene, shown = contest.scene, contest.shown
    prompt = _prompt(scene)
    if not prompt:
        said = "No key point is visible in the first frame of this clip, so none was tracked."
        return Section(name="points", title="Key points", blocks=[report.paragraph(said)])
    tracks = {name: _track(carry(context, contest, name, prompt)) for name in contest.models}
    truth, visible, diagonals = _truth(scene, prompt)
    scores = {}
    for name, track in tracks.items():
        errors = relative_errors(track[..., :2], truth, visible, diagonals)
        scores[name] = {f"PCK@{alpha}": pck(errors, alpha) for alpha in _ALPHAS}
    clip, picture = context.out / "points.mp4", context.out / "points.jpg"
    panels = {shown: tracks[shown], "truth": torch.cat((truth, visible[..., None]), dim=-1)}
    videos.write(clip, _draw(scene, panels), fps=FPS)
    images.write(picture, _with_trail(scene.frames[-1], tracks[shown], len(scene.frames)))
    return Section(
        name="points",
        title="Key points",
        blocks=[
            report.paragraph(
                f"Key points propagate the same way. {len(prompt)} points on bodies and limbs were "
                "given in the first frame. Faint dots and broken trails mark low confidence."
            ),
            report.video(clip, "Points with their trails; ground truth is shown while visible."),
            report.columns([_table(scores), report.pictures([(picture, "Full trajectories.")])]),
        ],
        scores=scores,
    )


def _table(scores: Mapping[str, Mapping[str, float]]) -> str:
    return report.table(
        ["encoder", *(f"PCK@{alpha}" for alpha in _ALPHAS)],
        [(name, list(score.values())) for name, score in scores.items()],
        "PCK: share of visible points within .1 or .2 of the object's size (.6 of the diagonal of "
        "its box). 1 is perfect.",
        best_of="column",
    )


def _prompt(scene: Scene) -> list[Keypoint]:
    """The points that can be seen in the first frame; ids count from 1 over all points."""
    return [
        Keypoint(frame=0, id=number + 1, x=x, y=y)
        for number, (x, y) in enumerate(scene.keypoints[0].tolist())
        if scene.visible[0, number]
    ]


def _truth(
    scene: Scene, prompt: Sequence[Keypoint]
) -> tuple[Float[Tensor, "t k 2"], Tensor, Float[Tensor, "t k"]]:
    """Where the points of the prompt are, when they can be seen, and their objects' diagonals."""
    chosen = torch.tensor([point.id - 1 for point in prompt])
    boxes = scene.boxes[:, scene.keypoint_object[chosen] - 1]
    diagonals = torch.linalg.vector_norm(boxes[..., 2:] - boxes[..., :2], dim=-1)
    return scene.keypoints[:, chosen], scene.visible[:, chosen], diagonals


def _track(predictions: Sequence[Prediction]) -> Float[Tensor, "t k 3"]:
    """x, y and confidence of every point."""
    return torch.tensor(
        [[(point.x, point.y, point.confidence) for point in one.keypoints] for one in predictions]
    )


def _draw(
    scene: Scene, panels: dict[str, Float[Tensor, "t k 3"]]
) -> Iterator[UInt8[Tensor, "3 rows columns"]]:
    for number, frame in enumerate(scene.frames):
        yield tiled(
            [
                titled(_with_trail(frame, track[: number + 1], _TRAIL), name)
                for name, track in panels.items()
            ]
        )


def _with_trail(
    frame: UInt8[Tensor, "3 h w"], track: Float[Tensor, "s k 3"], length: int
) -> UInt8[Tensor, "3 h w"]:
    """The frame with the track's last points and up to ``length`` places before them."""
    confidence = track[..., 2]
    ways = track[..., :2].where((confidence > _LOST)[..., None], torch.nan)
    points = track[-1, :, :2].where((confidence[-1] > 0)[:, None], torch.nan)
    return drawn.draw(frame, points, confidence=confidence[-1].sqrt(), trail=ways[-1 - length : -1])

"""How well points are followed, by TAP-Vid's scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from scalable_binding.data import synthetic
from scalable_binding.data.datasets import tap_vid
from scalable_binding.data.datasets.tap_vid import TapVideo
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.errors import UserError, require_one_of
from scalable_binding.flow import model, tracks
from scalable_binding.flow.benchmarks import SYNTHETIC_SEED
from scalable_binding.flow.model import FlowNet
from scalable_binding.metrics import tracks as metrics

SIZE = 256
"""TAP-Vid's frames are scored at 256 x 256 pixels."""

NUM_SCENES = 10
NUM_FRAMES = 24


@dataclass(frozen=True)
class TrackCase:
    """A video and the truth about the points to follow.

    Attributes:
        name: of the video.
        frames: RGB.
        points: x, y in pixels.
        visible: where they are seen.
        starts: the frame in which each point is given.
    """

    name: str
    frames: UInt8[Tensor, "t 3 h w"]
    points: Float[Tensor, "n t 2"]
    visible: Bool[Tensor, "n t"]
    starts: Int64[Tensor, " n"]

    @property
    def scored(self) -> Bool[Tensor, "n t"]:
        """The entries that count: those after the frame in which a point is given."""
        return torch.arange(len(self.frames)) > self.starts[:, None]


def synthetic_tracks(root: Path | None = None) -> list[Callable[[], TrackCase]]:
    """Key points of scenes whose textures no training shows, given in the first frame."""
    return [partial(synthetic_case, number) for number in range(NUM_SCENES)]


def synthetic_case(number: int, num_frames: int = NUM_FRAMES) -> TrackCase:
    """A scene of 256 x 256 pixels; its points are those that the first frame shows."""
    world = synthetic.evaluation(height=SIZE, width=SIZE, num_frames=num_frames)
    scene = synthetic.render(world, scene_seed(SYNTHETIC_SEED, number))
    inside = ((scene.keypoints[0] >= 0) & (scene.keypoints[0] <= SIZE - 1)).all(dim=-1)
    kept = scene.visible[0] & inside
    points, visible = scene.keypoints[:, kept].movedim(0, 1), scene.visible[:, kept].mT
    starts = torch.zeros(len(points), dtype=torch.int64)
    return TrackCase(f"{number:04}", scene.frames, points, visible, starts)


def tap_vid_tracks(root: Path) -> list[Callable[[], TrackCase]]:
    """Videos of TAP-Vid by its protocol "first": each point is given where it is first seen.

    Raises:
        UserError: as :func:`scalable_binding.data.datasets.tap_vid.read`.
    """
    return [partial(_tap_vid_case, load) for load in tap_vid.read(root)]


def _tap_vid_case(load: Callable[[], TapVideo]) -> TrackCase:
    """The video at 256 x 256 pixels, and its points in pixels of that."""
    video = load()
    seen = video.visible.any(dim=1)
    frames = torch.stack([_resized(frame) for frame in video.frames])
    visible = video.visible[seen]
    starts = visible.byte().argmax(dim=1)
    return TrackCase(video.name, frames, SIZE * video.points[seen] - 0.5, visible, starts)


def _resized(frame: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "3 _ _"]:
    small = functional.interpolate(
        frame[None].float(), (SIZE, SIZE), mode="bilinear", antialias=True
    )
    return small[0].round().clamp(0, 255).byte()


BENCHMARKS: dict[str, Callable[[Path], list[Callable[[], TrackCase]]]] = {
    "synthetic-tracks": synthetic_tracks,
    "tap-vid": tap_vid_tracks,
}


def evaluate_tracks(
    benchmark: str,
    root: Path | None = None,
    *,
    weights: str | Path = "shipped",
    limit: int | None = None,
) -> dict[str, Any]:
    """TAP-Vid's scores of a network's tracks beside those of points that stay, fit for JSON.

    Scores are means over videos. Points that stay are said to be seen always. For
    "synthetic-tracks" there is also the mean error in pixels of seen points, over all points.

    Args:
        benchmark: a key of ``BENCHMARKS``.
        root: TAP-Vid's file or a folder of ``.npz``; "synthetic-tracks" needs none.
        weights: whatever ``flow.model.load`` takes.
        limit: score this many videos only, the first ones.

    Raises:
        UserError: there is no such benchmark, its data are missing or damaged, or the weights are.

    Source: Doersch et al., TAP-Vid, NeurIPS 2022.
    """
    require_one_of("benchmark", benchmark, BENCHMARKS)
    if root is None and benchmark != "synthetic-tracks":
        raise UserError(f"benchmark {benchmark}", expected="the file of its data", got="none")
    if limit is not None and limit < 1:
        raise UserError("limit", expected="at least 1", got=str(limit))
    network = model.load(weights)
    found, still, errors = [], [], []
    for make in islice(BENCHMARKS[benchmark](root or Path()), limit):
        case = make()
        if not bool(case.scored.any()):
            continue
        places, told = follow_all(case, network)
        truth = (case.points, case.visible, case.scored)
        found.append(metrics.tap_vid(places, told, *truth))
        still.append(metrics.tap_vid(_staying(case), torch.ones_like(told), *truth))
        error = torch.linalg.vector_norm(places - case.points, dim=-1)
        errors.append(error[case.visible & case.scored])
    if not found:
        raise UserError(f"benchmark {benchmark}", expected="points to follow", got="none")
    return {
        "benchmark": benchmark,
        "weights": str(weights),
        "videos": len(found),
        "scores": {"error": float(torch.cat(errors).mean()), **_means(found)},
        "nothing moves": _means(still),
    }


def follow_all(case: TrackCase, network: FlowNet) -> tuple[Tensor, Bool[Tensor, "n t"]]:
    """Places ``(n t 2)`` and whether they are said to be seen; before its start a point stays."""
    given = case.points.gather(1, case.starts[:, None, None].expand(-1, 1, 2))[:, 0]
    places = given[:, None].repeat(1, len(case.frames), 1)
    told = torch.zeros_like(case.visible)
    points = [
        Keypoint(int(start), number, *place)
        for number, (start, place) in enumerate(
            zip(case.starts.tolist(), given.clamp(0, _last(case)).tolist(), strict=True)
        )
    ]
    for listed in tracks.follow(_each(case.frames), points, network):
        for track in listed:
            places[track.id, track.frame] = torch.tensor([track.x, track.y])
            told[track.id, track.frame] = track.visible
    return places, told


def _each(frames: UInt8[Tensor, "t 3 h w"]) -> Iterator[UInt8[Tensor, "3 h w"]]:
    return iter(frames.unbind())


def _last(case: TrackCase) -> float:
    return float(min(case.frames.shape[-2:]) - 1)


def _staying(case: TrackCase) -> Float[Tensor, "n t 2"]:
    start = case.points.gather(1, case.starts[:, None, None].expand(-1, 1, 2))
    return start.expand_as(case.points)


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    """Means over videos; what a video has no entry for is left out of it."""
    return {
        name: float(torch.tensor([one[name] for one in scores]).nanmean()) for name in scores[0]
    }

"""A video in, flow files and point tracks out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import get_args

import torch
from jaxtyping import Float, UInt8
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.nn import functional

from scalable_binding.data.frames import images, videos
from scalable_binding.data.labels import flow_files, keypoints, masks
from scalable_binding.data.labels.keypoints import check_inside
from scalable_binding.data.labels.resizing import Scale, scale_of
from scalable_binding.data.results import NUMBER, remove_results
from scalable_binding.engine.devices import choose_device
from scalable_binding.flow import model, tracks
from scalable_binding.flow.inference import Flow, estimate_video
from scalable_binding.flow.presets import ResultKind
from scalable_binding.plots import flow as drawn
from scalable_binding.plots import keypoints as drawn_points

Frame = UInt8[Tensor, "3 h w"]

_FLOW_SUFFIXES = {"flo": ".flo", "kitti": ".png", "npz": ".npz"}
_TRAIL = 15


def write_flow(
    video: Path,
    second: Path | None,
    out: Path,
    *,
    kinds: Sequence[str],
    weights: str,
    size: int | None,
    overlay: Path | None,
    device: str = "cpu",
) -> int:
    """The number of pairs whose flow was written to ``out``, each as soon as it is found.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    network = model.load(weights).to(choose_device(device))
    if second is None:
        scale = scale_of(video, min(_sides(video)) if size is None else size)
        num_frames = videos.count(video)
        frames: Iterable[Frame] = videos.stream(video, size=min(scale.carried))
    else:
        pair = [images.read(path, size=None) for path in (video, second)]
        scale = _scale(pair[0].shape[1:], size)
        num_frames = 2
        frames = [
            _shrunk(frame, scale) if frame.shape == pair[0].shape else frame for frame in pair
        ]
    flows = estimate_video(frames, network)
    first = next(flows)  # refuses what cannot be used, before older results are removed
    given = [video] if second is None else [video, second]
    remove_results(out, *(f"{kind}/{NUMBER}.*" for kind in get_args(ResultKind)), given=given)
    found = (_grown(one, scale) for one in chain([first], flows))
    with Progress(console=Console(stderr=True)) as progress:
        listed = progress.track(found, max(num_frames - 1, 1), description="flow")
        kept = _kept(listed, out, kinds)
        if overlay is None:
            return sum(1 for _ in kept)
        shown = zip(videos.stream(video), kept, strict=False)
        fps = videos.probe(video).fps
        return videos.write(overlay, (_beside(frame, one) for frame, one in shown), fps=fps)


def _sides(video: Path) -> tuple[int, int]:
    info = videos.probe(video)
    return info.height, info.width


def _scale(sides: Sequence[int], size: int | None) -> Scale:
    own = (sides[0], sides[1])
    return Scale(own, images.short_side(*own, None if size is None else min(size, *own)))


def _shrunk(frame: Frame, scale: Scale) -> UInt8[Tensor, "3 rows columns"]:
    if scale.own == scale.carried:
        return frame
    small = functional.interpolate(
        frame[None].float(), scale.carried, mode="bilinear", antialias=True
    )
    return small[0].round().clamp(0, 255).byte()


def _grown(found: Flow, scale: Scale) -> Flow:
    """The flow at the video's own size."""
    if scale.own == scale.carried:
        return found
    maps = torch.cat([found.flow, found.hidden[None].float(), found.confidence[None]])
    maps = functional.interpolate(maps[None], scale.own, mode="bilinear")[0]
    factors = [own / carried for own, carried in zip(scale.own, scale.carried, strict=True)]
    flow = maps[:2] * torch.tensor(factors[::-1])[:, None, None]
    return Flow(flow, maps[2] > 0.5, maps[3])


def _kept(found: Iterable[Flow], out: Path, kinds: Sequence[str]) -> Iterator[Flow]:
    """The flows, each written to the folder before it is passed on."""
    for number, one in enumerate(found):
        for kind in kinds:
            if kind in _FLOW_SUFFIXES:
                path = out / kind / f"{number:05}{_FLOW_SUFFIXES[kind]}"
                flow_files.write(path, one.flow)
            elif kind == "pictures":
                images.write(out / kind / f"{number:05}.png", drawn.draw(one.flow))
            else:
                masks.write(out / kind / f"{number:05}.png", one.hidden.byte())
        yield one


def _beside(frame: Frame, found: Flow) -> UInt8[Tensor, "3 h both"]:
    return torch.cat([frame, drawn.draw(found.flow)], dim=-1)


def write_tracks(
    video: Path,
    points: Path,
    out: Path,
    *,
    weights: str,
    size: int | None,
    overlay: Path | None,
    device: str = "cpu",
) -> str:
    """What was written: the tracks of points given in a table.

    Raises:
        UserError: an input cannot be read or used, or the output cannot be written.
    """
    given = keypoints.read(points)
    network = model.load(weights).to(choose_device(device))
    scale = scale_of(video, min(_sides(video)) if size is None else size)
    check_inside(given, *scale.own)
    moved = scale.shrink(given)
    assert isinstance(moved, list)
    count = videos.count(video)
    tracks.check_frames(moved, count)
    found: list[tracks.Track] = []
    try:
        with Progress(console=Console(stderr=True)) as progress:
            frames = videos.stream(video, size=min(scale.carried))
            followed = tracks.follow(frames, moved, network)
            for listed in progress.track(followed, count, description="tracking"):
                found += [_own_size(track, scale) for track in listed]
    finally:
        if found:
            tracks.write(out, found)
    if overlay is not None:
        videos.write(overlay, _with_trails(video, found), fps=videos.probe(video).fps)
    return f"tracks of {len(given)} points through {count} frames: {out}"


def _own_size(track: tracks.Track, scale: Scale) -> tracks.Track:
    """The track at the video's own size."""
    if scale.own == scale.carried:
        return track
    (own_height, own_width), (height, width) = scale.own, scale.carried
    return replace(
        track,
        x=(track.x + 0.5) * own_width / width - 0.5,
        y=(track.y + 0.5) * own_height / height - 0.5,
    )


def _with_trails(video: Path, found: Sequence[tracks.Track]) -> Iterator[Frame]:
    ids = sorted({track.id for track in found})
    by_frame: dict[int, dict[int, tracks.Track]] = {}
    for track in found:
        by_frame.setdefault(track.frame, {})[track.id] = track
    past: deque[Float[Tensor, "k 2"]] = deque(maxlen=_TRAIL)
    for number, frame in enumerate(videos.stream(video)):
        here = by_frame.get(number, {})
        seen = {key: one for key, one in here.items() if one.visible}
        nowhere = (float("nan"), float("nan"))
        places = torch.tensor(
            [(seen[key].x, seen[key].y) if key in seen else nowhere for key in ids]
        )
        sure = torch.tensor([seen[key].confidence if key in seen else 0.0 for key in ids])
        trail = torch.stack(list(past)) if past else None
        yield drawn_points.draw(frame, places, torch.tensor(ids), sure.sqrt(), trail=trail)
        past.append(places)

"""Points of known scenes followed by the chained walk, beside optical flow that is added up.

    python -m benchmarks.flow.tracks [--scenes 6] [--frames 24] [--weights shipped] [--json FILE]

Scenes of the synthetic world whose textures no training showed, 256 x 256 pixels; the points are
its key points that the first frame shows. Error is the distance from the truth in pixels: where the
point is seen, where it is hidden, and where it is seen again after it was hidden, which flow that
is added up has no way to find out. "found" is the share of points within 8 pixels, of those seen.
"hidden told" is how often the tracker, which says so, is right about whether a point is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from benchmarks import timing
from benchmarks.flow.contestants import Matcher, peers
from scalable_binding.data import synthetic
from scalable_binding.data.labels.keypoints import Keypoint
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.flow import model, tracks
from scalable_binding.flow.benchmarks import SYNTHETIC_SEED

SIZE = 256
FOUND = 8.0
"""Pixels within which a point is found."""

Followed = tuple[Float[Tensor, "t k 2"], Bool[Tensor, "t k"] | None]
Tracker = Callable[[Tensor, Float[Tensor, "k 2"]], Followed]


def walk(net: model.FlowNet) -> Tracker:
    """Return the tracker of the package; it also says whether a point is seen."""

    def track(frames: Tensor, start: Tensor) -> Followed:
        points = [Keypoint(0, number, *place) for number, place in enumerate(start.tolist())]
        found = list(tracks.follow(frames.unbind(), points, net))
        places = [[(track.x, track.y) for track in row] for row in found]
        seen = [[track.visible for track in row] for row in found]
        return torch.tensor(places), torch.tensor(seen)

    return track


def added_up(match: Matcher) -> Tracker:
    """Return the tracker that adds up the flow from each frame to the next."""

    def track(frames: Tensor, start: Tensor) -> Followed:
        places = [start]
        for first, second in pairwise(frames):
            places.append(places[-1] + _at(match(first, second), places[-1]))
        return torch.stack(places), None

    return track


def _at(flow: Tensor, places: Tensor) -> Tensor:
    sides = torch.tensor([flow.shape[-1], flow.shape[-2]])
    grid = ((2 * places + 1) / sides - 1).view(1, 1, -1, 2)
    return functional.grid_sample(flow[None], grid, padding_mode="border", align_corners=False)[
        0, :, 0
    ].mT


def stay(frames: Tensor, start: Tensor) -> Followed:
    """Return that nothing moves."""
    return start.expand(len(frames), -1, -1), None


def score(rows: list[tuple[Tensor, Tensor, Tensor | None]]) -> dict[str, float]:
    """Return mean errors and shares over all points of all scenes, the first frames left out.

    Args:
        rows: of each scene errors (t k), which points are seen (t k), and which the tracker says.
    """
    errors = torch.cat([error[1:].flatten() for error, _, _ in rows])
    seen = torch.cat([truth[1:].flatten() for _, truth, _ in rows])
    again = torch.cat(
        [(truth & (~truth).cummax(dim=0).values)[1:].flatten() for _, truth, _ in rows]
    )
    told = [(said == truth)[1:].flatten() for _, truth, said in rows if said is not None]
    return {
        "seen": float(errors[seen].mean()),
        "found": float((errors[seen] <= FOUND).float().mean()),
        "hidden": float(errors[~seen].mean()),
        "seen again": float(errors[again].mean()),
        "hidden told": float(torch.cat(told).float().mean()) if told else float("nan"),
    }


def main() -> None:
    options = timing.parser(__doc__, rounds=1)
    options.add_argument("--scenes", type=int, default=6)
    options.add_argument("--frames", type=int, default=24)
    options.add_argument("--weights", default="shipped")
    arguments = options.parse_args()
    net = model.load(arguments.weights)
    flows = {name: match for name, match in peers(1).items() if name.startswith("OpenCV")}
    trackers: dict[str, Tracker] = {"nothing moves": stay, "chained walk": walk(net)}
    trackers |= {f"{name}, added up": added_up(match) for name, match in flows.items()}
    world = synthetic.evaluation(height=SIZE, width=SIZE, num_frames=arguments.frames)
    results: dict[str, list[tuple[Tensor, Tensor, Tensor | None]]] = {name: [] for name in trackers}
    seconds = dict.fromkeys(trackers, 0.0)
    for number in range(arguments.scenes):
        scene = synthetic.render(world, scene_seed(SYNTHETIC_SEED, number))
        inside = ((scene.keypoints[0] >= 0) & (scene.keypoints[0] <= SIZE - 1)).all(dim=-1)
        kept = scene.visible[0] & inside
        truth, seen = scene.keypoints[:, kept], scene.visible[:, kept]
        for name, track in trackers.items():
            began = time.process_time()
            places, said = track(scene.frames, truth[0])
            seconds[name] += time.process_time() - began
            error = torch.linalg.vector_norm(places - truth, dim=-1)
            results[name].append((error, seen, said))
    rows: list[dict[str, Any]] = [
        {
            "": name,
            **{label: f"{value:.3g}" for label, value in score(results[name]).items()},
            "CPU s a frame": f"{seconds[name] / arguments.scenes / (arguments.frames - 1):.3f}",
        }
        for name in trackers
    ]
    timing.report(rows, timing.conditions(), arguments.json)


if __name__ == "__main__":
    main()

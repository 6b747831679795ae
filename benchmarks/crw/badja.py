"""Key points on real animals: PCK on three sequences of BADJA, trained encoder against untrained.

    python -m benchmarks.crw.badja DAVIS JOINTS [--weights shipped] [--calibrate VIDEOS]

``DAVIS`` holds JPEGImages/480p and Annotations/480p of bear, dog-agility and horsejump-low;
``JOINTS`` holds BADJA's files, one a sequence. The joints of the first frame with joints are
carried to the last one; a joint is right within a share of the square root of the animal's area.
Not run by make bench: about a second a frame on one CPU core.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import torch

from scalable_binding.crw import calibration
from scalable_binding.crw.inference import FeatureModel, propagate
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks
from scalable_binding.data.labels.keypoints import Keypoint

SEQUENCES = ("bear", "dog-agility", "horsejump-low")
JOINT_SIZE = (1080, 1920)
SHARES = (0.05, 0.1, 0.2)


def joints(path: Path, height: int, width: int) -> dict[int, dict[int, tuple[float, float]]]:
    """The visible joints of each annotated frame, (x, y) in pixels of a frame of this size."""
    found = {}
    for row in json.loads(path.read_text()):
        places = enumerate(zip(row["joints"], row["visibility"], strict=True))
        down, across = height / JOINT_SIZE[0], width / JOINT_SIZE[1]
        found[int(Path(row["image_path"]).stem)] = {
            number: ((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5)
            for number, ((y, x), seen) in places
            if seen
        }
    return found


def errors(
    davis: Path, path: Path, model: FeatureModel, config: PropagationConfig
) -> list[tuple[float, float]]:
    """Each joint's distance from the truth in pixels, and the root of the animal's area."""
    name = path.stem
    frames = images.list_frames(davis / "JPEGImages/480p" / name)
    truth = joints(path, *images.probe(frames[0]))
    first = min(truth)
    given = [Keypoint(0, number, *place) for number, place in truth[first].items()]
    last = max(truth)
    shown = (images.read(frame) for frame in frames[first : last + 1])
    found: list[tuple[float, float]] = []
    with torch.inference_mode():
        for number, prediction in enumerate(propagate(shown, given, model, config), first):
            if number == first or number not in truth:
                continue
            area = masks.read(davis / "Annotations/480p" / name / f"{number:05}.png") > 0
            root = float(area.sum()) ** 0.5
            for point in prediction.keypoints:
                if point.id in truth[number]:
                    x, y = truth[number][point.id]
                    found.append((((point.x - x) ** 2 + (point.y - y) ** 2) ** 0.5, root))
    return found


def summarize(found: list[tuple[float, float]]) -> dict[str, float]:
    """PCK at each share of the root of the area, and the median error in pixels."""
    scores = {
        f"PCK@{share:g}": statistics.fmean(error <= share * root for error, root in found)
        for share in SHARES
    }
    return scores | {"median error": statistics.median(error for error, _ in found)}


def main() -> None:
    """Print the scores of each sequence and of all joints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("davis", type=Path)
    parser.add_argument("joints", type=Path)
    parser.add_argument("--weights", default="shipped")
    parser.add_argument("--calibrate", type=Path, nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = calibration.load(given.weights, given.calibrate, None)
    results: dict[str, Any] = {}
    everything: list[tuple[float, float]] = []
    for name in SEQUENCES:
        found = errors(given.davis, given.joints / f"{name}.json", model, PropagationConfig())
        everything += found
        results[name] = summarize(found)
        print(name, len(found), {key: round(value, 4) for key, value in results[name].items()})
    results["all joints"] = summarize(everything)
    print("all joints", len(everything), results["all joints"])
    if given.json is not None:
        given.json.write_text(json.dumps({"weights": given.weights, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Generate CIFAR-10 by class on one CPU core: data, feature network, training, scores.

    python -m benchmarks.rin.cifar prepare --data train.zip --out OUT
    python -m benchmarks.rin.cifar features --out OUT [--steps 4400]
    python -m benchmarks.rin.cifar train --out OUT [--set fit.steps=80000 ...]
    python -m benchmarks.rin.cifar score --out OUT [--num 5000] [--guidance 1 1.5 2 3]

Not run by make bench. ``prepare`` keeps every tenth image of a class from training
(``train.zip``, ``held-out.zip``). ``features`` trains a classifier on the labels of the training
part; its accuracy on the held-out part is in its card. ``train`` runs the preset ``cifar10_small``;
one that was stopped goes on, and ``cpu_seconds.txt`` adds up what it took. ``score`` reports, for
each strength of guidance, the Frechet distance to the held-out images beside that of training
images (the yardstick), the share of samples of the right class, and the distance from samples to
their nearest training images beside that of held-out ones; it appends a line to ``curve.jsonl``,
so that calls on the way give the distance against core-hours. Distances are those of the project's
own features and compare with no published FID.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.rin.train import SPENT, train_timed
from scalable_binding.cli.settings import configure
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.frames import images
from scalable_binding.plots import grids
from scalable_binding.rin import evaluate, inference
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.sampling_config import SamplingConfig

EVERY = 10
SIDE = 32
NEAREST = 40
"""Samples that are shown beside their nearest training images."""


def prepare(data: Path, out: Path) -> dict[str, int]:
    """Split an archive of class folders: every tenth image of a class is held out."""
    out.mkdir(parents=True, exist_ok=True)
    counts = {"train": 0, "held-out": 0}
    with zipfile.ZipFile(data) as archive:
        classes: dict[str, list[str]] = defaultdict(list)
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                classes[PurePosixPath(name).parent.name].append(name)
        for part in counts:
            with zipfile.ZipFile(out / f"{part}.zip", "w") as split:
                for names in classes.values():
                    for number, name in enumerate(names):
                        if (number % EVERY == EVERY - 1) == (part == "held-out"):
                            split.writestr(name, archive.read(name))
                            counts[part] += 1
    return counts


def train_features(out: Path, steps: int) -> None:
    """Train the feature network with its own script; the accuracy goes into its card."""
    command = [sys.executable, "-m", "benchmarks.features.train", "images", "--steps", str(steps)]
    command += ["--data", str(out / "train.zip"), "--held-out", str(out / "held-out.zip")]
    command += ["--size", str(SIDE), "--workers", "0", "--out", str(out / "features")]
    subprocess.run(command, check=True)


def train(out: Path, changes: Sequence[str], preset: str) -> None:
    """Train the network, or go on with it."""
    held_out = [f"data.held_out={out / 'held-out.zip'}", "validate_every=2000"]
    config = configure("rin", preset, settings=[*held_out, *changes])
    train_timed(config, out / "run", [out / "train.zip"])


def score(out: Path, num: int, strengths: Sequence[float], steps: int) -> dict[str, Any]:
    """Scores at each strength of guidance, and what the training has taken so far."""
    run = out / "run"
    lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = {
        "step": json.loads(lines[-1])["step"],
        "core_hours": float((run / SPENT).read_text(encoding="utf-8")) / 3600,
        "num": num,
        "yardstick": evaluate.distance_between(
            out / "features", [out / "train.zip"], [out / "held-out.zip"], size=(SIDE, SIDE)
        ),
    }
    for strength in strengths:
        config = EvaluationConfig(num=num, features=str(out / "features"))
        sampling = SamplingConfig(steps=steps, guidance=strength, variance="small", bfloat16=True)
        scores = evaluate.evaluate(run, [out / "held-out.zip"], config, sampling)["scores"]
        found[f"guidance {strength:g}"] = {
            name: scores[name] for name in ("frechet", "class_accuracy", "precision", "recall")
        }
    found["nearest"] = show_nearest(out, steps)
    with (out / "curve.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    return found


def show_nearest(out: Path, steps: int) -> dict[str, float]:
    """Write samples above their nearest training images; return the median distances."""
    pretrained = inference.load(out / "run")
    sampling = SamplingConfig(steps=steps, variance="small", bfloat16=True)
    classes = range(pretrained.model.num_classes)
    batches = inference.generate(pretrained, NEAREST, sampling, classes=classes)
    samples = torch.cat([batch.samples for batch in batches])
    known, held_out = load(out / "train.zip"), load(out / "held-out.zip")
    fresh = held_out[:: max(1, len(held_out) // NEAREST)][:NEAREST]
    distances, places = nearest(samples, known)
    pairs = torch.stack([samples, known[places]], dim=1).flatten(0, 1)
    images.write(out / "nearest.png", grids.grid(pairs, columns=10))
    own, _ = nearest(fresh, known)
    return {"samples": float(distances.median()), "held-out images": float(own.median())}


def load(path: Path) -> UInt8[Tensor, "n 3 h w"]:
    """All images of an archive, each once."""
    dataset = LabeledImages(path, size=SIDE)
    return torch.stack([dataset[index]["image"] for index in range(len(dataset))])


def nearest(
    queries: UInt8[Tensor, "q c h w"], known: UInt8[Tensor, "n c h w"]
) -> tuple[Float[Tensor, " q"], Tensor]:
    """Euclidean distance of each to its nearest known image, pixels in [0, 1], and which it is."""
    found = []
    flat = queries.flatten(1).float() / 255
    for part in known.split(5000):
        found.append(torch.cdist(flat, part.flatten(1).float() / 255))
    best = torch.cat(found, dim=1).min(dim=1)
    return best.values, best.indices


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("job", choices=("prepare", "features", "train", "score"))
    options.add_argument("--data", type=Path, help="archive of the images, for 'prepare'")
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--steps", type=int, help="of the features' training, or of the sampler")
    options.add_argument("--num", type=int, default=5000, help="samples to score")
    options.add_argument("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0])
    options.add_argument("--preset", default="cifar10_small")
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="settings")
    arguments = options.parse_args()
    if arguments.job == "prepare":
        if arguments.data is None:
            options.error("prepare needs --data")
        print(prepare(arguments.data, arguments.out))
    elif arguments.job == "features":
        train_features(arguments.out, arguments.steps or 4400)
    elif arguments.job == "train":
        train(arguments.out, arguments.settings, arguments.preset)
    else:
        found = score(arguments.out, arguments.num, arguments.guidance, arguments.steps or 100)
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

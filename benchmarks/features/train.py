"""Train the small networks whose features the package compares samples by, and ship them.

    python -m benchmarks.features.train digits
    python -m benchmarks.features.train moving-digits
    python -m benchmarks.features.train images --data train.zip --size 32 --out features-cifar10

writes ``model.safetensors`` and ``card.json``. Not run by make bench. On one CPU core the first
takes half a minute and the second four minutes; the third, for images of your own with classes,
hours; it resumes, and ``--held-out`` names the images that its accuracy is of.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding import weights
from scalable_binding.data.datasets import digits
from scalable_binding.data.datasets.digits import Digits
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.datasets.moving_digits import MovingDigits, MovingDigitsConfig
from scalable_binding.engine.checkpoint import WEIGHTS
from scalable_binding.engine.fit import fit
from scalable_binding.engine.fit_config import (
    EmaConfig,
    FitConfig,
    OptimizerConfig,
    ScheduleConfig,
)
from scalable_binding.metrics.networks import ImageClassifier, MotionClassifier
from scalable_binding.nn.precision import has_fast_bfloat16

ROOT = Path(__file__).parents[2]
SHIPPED = weights.ROOT
LICENSE = "digits: UCI optical recognition of handwritten digits, CC BY 4.0; weights: Apache-2.0"


class LabeledVideos(torch.utils.data.Dataset):
    """Moving digits with what the network has to tell: presence and speed of every digit."""

    def __init__(self, split: str, seed: int, num_frames: int) -> None:
        config = MovingDigitsConfig(num_frames=num_frames)
        self.videos = MovingDigits(config, split, seed=seed)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        scene = self.videos.scene(index)
        presence, speed = torch.zeros(10), torch.full((10, 2), torch.nan)
        presence[scene.labels] = 1
        # Two of one digit have no speed of their own.
        for label in scene.labels.unique():
            owners = scene.labels == label
            if owners.sum() == 1:
                speed[label] = scene.velocities[owners][0].abs()
        return {"video": scene.video, "presence": presence, "speed": speed}


def shift(images: Tensor, most: int, generator: Generator) -> Tensor:
    """Return the images, all of them moved alike by up to ``most`` pixels."""
    down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
    side = (most + right, most - right, most + down, most - down)
    padded = functional.pad(images, side)
    return padded[..., most : most + images.shape[-2], most : most + images.shape[-1]]


def tell_classes(model: nn.Module, batch: dict, generator: Generator, *, most: int) -> tuple:
    images = batch["image"]
    if most:
        images = shift(images, most, Generator().manual_seed(int(batch["index"][0])))
    logits = model(images).logits
    loss = functional.cross_entropy(logits, batch["label"])
    return loss, {"accuracy": (logits.argmax(1) == batch["label"]).float().mean()}


def tell_motion(model: nn.Module, batch: dict, generator: Generator) -> tuple:
    presence, speed = model.describe(model(batch["video"]).features)
    known = ~batch["speed"].isnan()
    shares = batch["presence"] / batch["presence"].sum(dim=1, keepdim=True)
    seen = functional.cross_entropy(presence, shares)
    error = functional.l1_loss(speed[known], batch["speed"][known])
    return seen + 2 * error, {"presence_loss": seen, "speed_error": error}


def settings(steps: int, batch_size: int, seed: int, workers: int = 0) -> FitConfig:
    return FitConfig(
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        optimizer=OptimizerConfig(name="adamw", lr=3e-3, weight_decay=0.01),
        schedule=ScheduleConfig(warm_up=steps // 10, curve="cosine"),
        ema=EmaConfig(decay=0.99),
        num_workers=workers,
        save_every=steps,
    )


@torch.no_grad()
def score_classes(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    right = [
        (model(part.to(next(model.parameters()).device)).logits.argmax(1).cpu() == truth)
        for part, truth in zip(images.split(256), labels.split(256), strict=True)
    ]
    return {"accuracy": float(torch.cat(right).float().mean())}


@torch.no_grad()
def score_motion(model: nn.Module, num: int = 512) -> dict[str, float]:
    dataset = LabeledVideos("held_out", seed=1, num_frames=MovingDigitsConfig().num_frames)
    items = torch.utils.data.default_collate([dataset[index] for index in range(num)])
    features = torch.cat([model(part).features for part in items["video"].split(64)])
    presence, speed = model.describe(features)
    known = ~items["speed"].isnan()
    digits_shown = items["presence"].sum(dim=1).long()
    right = [
        set(logits.topk(int(count)).indices.tolist()) == set(truth.nonzero().flatten().tolist())
        for logits, count, truth in zip(presence, digits_shown, items["presence"], strict=True)
    ]
    return {
        "digits_right": sum(right) / num,
        "speed_error_pixels": float((speed - items["speed"])[known].abs().mean()),
    }


def train(arguments: argparse.Namespace, run: Path) -> tuple[nn.Module, dict]:
    """Return the trained network and what its card says of it."""
    torch.manual_seed(arguments.seed)
    if arguments.kind == "digits":
        model = ImageClassifier(1, digits.NUM_CLASSES)
        config = settings(1500, 128, arguments.seed)
        model = fit(model, partial(tell_classes, most=1), Digits("train"), config, run)
        card = {
            "kind": "images",
            "arguments": {"channels": 1, "num_classes": 10, "widths": [16, 32], "width": 64},
            "data": "scikit-learn's 8 x 8 digits, the 1,400 of the split 'train'",
            "score": {"held_out": score_classes(model, *digits.load("held_out"))},
        }
    elif arguments.kind == "moving-digits":
        model = MotionClassifier()
        config = settings(2200, 24, arguments.seed)
        videos = LabeledVideos("train", arguments.seed, num_frames=6)
        model = fit(model, tell_motion, videos, config, run)
        card = {
            "kind": "moving digits",
            "arguments": {"width": 64, "num_classes": 10},
            "data": "moving digits of scikit-learn's 8 x 8 digits, the split 'train'",
            "score": {"held_out": score_motion(model)},
        }
    else:
        dataset = LabeledImages(arguments.data, size=arguments.size, flip=True)
        widths, width = [48, 96, 192], 256
        model = ImageClassifier(3, dataset.num_classes, widths, width)
        config = settings(arguments.steps, 256, arguments.seed, arguments.workers)
        half = has_fast_bfloat16("cpu")
        config = replace(config, bfloat16=half, channels_last=True, save_every=100)
        model = fit(model, partial(tell_classes, most=arguments.size // 8), dataset, config, run)
        scored = LabeledImages(arguments.held_out or arguments.data, size=arguments.size)
        num = len(scored) if arguments.held_out else 1024
        batch = torch.utils.data.default_collate([scored[i] for i in range(num)])
        part = "held out" if arguments.held_out else "on training images"
        card = {
            "kind": "images",
            "arguments": {
                "channels": 3,
                "num_classes": dataset.num_classes,
                "widths": widths,
                "width": width,
            },
            "data": f"{arguments.data.name}, {len(dataset)} images of {arguments.size} pixels",
            "score": {part: score_classes(model, batch["image"], batch["label"])},
        }
    return model, card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=("digits", "moving-digits", "images"))
    parser.add_argument("--out", type=Path, help="folder to write; the package's own by default")
    parser.add_argument("--data", type=Path, help="labeled images, for 'images'")
    parser.add_argument("--held-out", type=Path, help="images that the accuracy is of")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.kind == "images" and not (arguments.data and arguments.out):
        parser.error("images need --data and --out")
    out = arguments.out or SHIPPED / f"features-{arguments.kind}"
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        # The long one goes on where it was stopped.
        run = out / "run" if arguments.kind == "images" else Path(folder)
        _, card = train(arguments, run)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / WEIGHTS, out / WEIGHTS)
    commit = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    card = {
        "name": out.name,
        "note": "features of this package's own small network: not the standard Inception or I3D",
        **card,
        "license": LICENSE if arguments.kind != "images" else "that of the images",
        "command": " ".join(["python -m benchmarks.features.train", *sys.argv[1:]]),
        "commit": subprocess.run(commit, capture_output=True, text=True).stdout.strip(),
        "cpu_seconds": round(time.process_time() - began),
    }
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()

"""What few steps cost a network whose latents want a near step before: digits, every sampler.

    python -m benchmarks.rin.samplers RUN [--num 500] [--steps 10 25 50 100 250] [--json FILE]

Not run by make bench: some ten minutes on one core for a run of the preset ``digits`` (or "digits",
the network that ships). Each sampler is scored with latents carried from step to step and with
latents that start from zero in every step, at the same noise; then DDIM of 50 steps with guidance.
Scores are the Frechet distance to held-out digits and the share of samples that the feature network
sorts into the class they should be of; it is our own, so that the distances compare with nothing
published.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import timing
from scalable_binding.data.datasets import digits
from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.metrics.frechet import frechet_distance
from scalable_binding.plots.curves import table
from scalable_binding.rin import features, inference
from scalable_binding.rin.inference import Pretrained, SamplingConfig
from scalable_binding.rin.scoring import SampleScores, describe

SAMPLERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ddpm", {"sampler": "ddpm"}),
    ("ddpm, small variance", {"sampler": "ddpm", "variance": "small"}),
    ("ddim", {"sampler": "ddim"}),
    ("dpmpp_2m", {"sampler": "dpmpp_2m"}),
)


def score(
    pretrained: Pretrained,
    num: int,
    config: SamplingConfig,
    judge: features.Features,
    real: FeatureStatistics,
) -> dict[str, float]:
    """Return distance, class accuracy and seconds of ``num`` samples of all classes in turn."""
    found = SampleScores(judge, judges_classes=True)
    start = time.process_time()
    for batch in inference.generate(pretrained, num, config, classes=range(10)):
        found.update(batch.samples, batch.classes)
    seconds = time.process_time() - start
    scores = found.compute(real)
    return {"frechet": scores["frechet"], "accuracy": scores["class_accuracy"], "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 25, 50, 100, 250])
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0, 1.5, 2.0, 3.0])
    parser.add_argument("--schedule", default="cosine")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    carrying = inference.load(arguments.run)
    fresh = replace(carrying, diffusion=replace(carrying.diffusion, self_conditioning=0.0))
    judge = features.load("digits")
    real = describe(judge, [digits.load("held_out")[0]])
    floor = frechet_distance(real, describe(judge, [digits.load("train")[0]]))
    rows = []
    for steps in arguments.steps:
        for name, settings in SAMPLERS:
            row: dict[str, Any] = {"steps": steps, "sampler": name}
            for label, network in (("carried", carrying), ("fresh", fresh)):
                config = SamplingConfig(
                    steps=steps, batch_size=256, schedule=arguments.schedule, **settings
                )
                scores = score(network, arguments.num, config, judge, real)
                row |= {f"{key} {label}": value for key, value in scores.items()}
            rows.append(row)
            print(row, flush=True)
    guided = []
    for scale in arguments.guidance:
        config = SamplingConfig(steps=50, sampler="ddim", guidance=scale, batch_size=256)
        guided.append({"guidance": scale} | score(carrying, arguments.num, config, judge, real))
    print(table(guided))
    facts = {
        "guided": guided,
        "frechet of training digits": floor,
        "samples": arguments.num,
        "threads": torch.get_num_threads(),
        **timing.conditions(),
    }
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()

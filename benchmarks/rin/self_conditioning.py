"""Is latent self-conditioning worth anything where one cold read is the bottleneck (Fig. 2.8a)?

    python -m benchmarks.rin.self_conditioning --out DIR [--seeds 0 1 2 3 4] [--steps 6000]
        [--samples 5000] [--set NAME=VALUE ...]

Not run by make bench: a run takes some ten minutes on a CPU core, and there are 30. Digits with
one block of four layers, patches of one pixel (64 tokens), 8 latents, and embeddings as in the
thesis (deviation .02, no smooth positions), AdamW: without latents of a step before, the network
reads once, not knowing what to read. Rows: rates 0, .5 and .9; rate 0 with 1.3 times the steps,
which is what a rate of .9 costs; and four blocks of one layer, which read four times, at rates 0
and .9. Each network of a rate above 0 is also sampled with latents of zeros in every step.

The criterion, decided beforehand: self-conditioning helps if the mean Frechet distance at rate .9
is below those of rate 0 and of rate 0 with 1.3 times the steps, by two standard errors of the
difference each. "high noise" is the held-out loss over the noisiest third of the time. A run that
was stopped goes on, and one that is scored is not scored again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.rin.train import SPENT, train_timed
from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure
from scalable_binding.engine.config import override
from scalable_binding.rin import evaluate
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.features import Features, choose
from scalable_binding.rin.inference import Pretrained, generate, load
from scalable_binding.rin.sampling_config import SamplingConfig
from scalable_binding.rin.scoring import SampleScores, describe

NETWORK = {
    "model.patch": "1,1",
    "model.num_latents": "8",
    "model.embedding_std": "0.02",
    "model.smooth_positions": "false",
    "fit.optimizer.name": "adamw",
    "fit.optimizer.lr": "3e-3",
    "fit.progress": "false",
    "sample_every": "0",
    "validate_every": "0",
}
ONE_READ = {"model.num_blocks": "1", "model.num_layers": "4"}
FOUR_READS = {"model.num_blocks": "4", "model.num_layers": "1"}
LONGER = 1.3
ROWS: dict[str, tuple[dict[str, str], float, float]] = {
    "rate 0": (ONE_READ, 0.0, 1.0),
    "rate 0.5": (ONE_READ, 0.5, 1.0),
    "rate 0.9": (ONE_READ, 0.9, 1.0),
    "rate 0, 1.3 x steps": (ONE_READ, 0.0, LONGER),
    "four reads, rate 0": (FOUR_READS, 0.0, 1.0),
    "four reads, rate 0.9": (FOUR_READS, 0.9, 1.0),
}
"""Network, self-conditioning rate, and steps over those asked for."""

HIGH_NOISE = 7
"""First of the ten levels of noise that count as high."""


def configure_row(row: str, seed: int, steps: int, changes: Sequence[str]) -> RINConfig:
    network, rate, longer = ROWS[row]
    config = override(configure("rin", "digits"), {**NETWORK, **network})
    config = override(config, {"diffusion.self_conditioning": rate, "fit.seed": seed})
    config = override(config, {"fit.steps": round(steps * longer)})
    return override(config, dict(change.split("=", 1) for change in changes))


def score(run: Path, samples: int, sampler_steps: int) -> dict[str, float]:
    """Distances with latents carried and with latents of zeros, accuracy, held-out losses."""
    pretrained = load(run)
    features = choose(None, pretrained.model.size, pretrained.model.channels)
    assert features is not None
    sampling = SamplingConfig(steps=sampler_steps)
    loss = evaluate.evaluate(run, (), EvaluationConfig(num=4), sampling)["loss"]
    levels = [level["loss"] for level in loss["by_level"]]
    found = {"loss": loss["mean"], "high noise": statistics.mean(levels[HIGH_NOISE:])}
    found |= distance_of(pretrained, features, samples, sampling, "")
    if pretrained.carries_latents:
        diffusion = replace(pretrained.diffusion, self_conditioning=0.0)
        cold = replace(pretrained, diffusion=diffusion)
        found |= distance_of(cold, features, samples, sampling, ", zeroed latents")
    return found


def distance_of(
    pretrained: Pretrained, features: Features, num: int, sampling: SamplingConfig, suffix: str
) -> dict[str, float]:
    real = evaluate.open_held_out("digits", pretrained, ())
    reference = describe(features, (real[index]["image"][None] for index in range(len(real))))
    gathered = SampleScores(features, judges_classes=True)
    for batch in generate(pretrained, num, sampling, classes=range(10)):
        gathered.update(batch.samples, batch.classes)
    scores = gathered.compute(reference)
    names = ("frechet", "class_accuracy")
    return {f"{name.replace('_', ' ')}{suffix}": scores[name] for name in names}


def summarize(scores: Sequence[dict[str, float]]) -> dict[str, str]:
    row = {}
    for name in scores[0]:
        values = [one[name] for one in scores]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        row[name] = f"{statistics.mean(values):.3g} ± {spread:.2g}"
    return row


def is_better(helped: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the first mean is below the second by two standard errors of the difference."""
    error = (
        statistics.variance(helped) / len(helped) + statistics.variance(others) / len(others)
    ) ** 0.5
    return statistics.mean(helped) < statistics.mean(others) - 2 * error


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options.add_argument("--steps", type=int, default=6000)
    options.add_argument("--samples", type=int, default=5000)
    options.add_argument("--sampler-steps", type=int, default=50)
    options.add_argument("--rows", nargs="+", choices=tuple(ROWS), default=list(ROWS))
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="settings")
    options.add_argument("--json", type=Path)
    arguments = options.parse_args()
    found: dict[str, list[dict[str, float]]] = {row: [] for row in arguments.rows}
    # A seed of every row before the next seed, so that what is stopped early is still balanced.
    for seed in arguments.seeds:
        for row in arguments.rows:
            run = arguments.out / f"{row.replace(', ', '-').replace(' ', '-')}-{seed}"
            path = run / "scores.json"
            if not path.is_file():
                train_timed(configure_row(row, seed, arguments.steps, arguments.settings), run)
                scores = score(run, arguments.samples, arguments.sampler_steps)
                scores["cpu s"] = float((run / SPENT).read_text(encoding="utf-8"))
                write_text(path, json.dumps(scores) + "\n")
            found[row].append(json.loads(path.read_text(encoding="utf-8")))
    rows: list[dict[str, Any]] = [
        {"": row, **summarize(scores)} for row, scores in found.items() if scores
    ]
    facts: dict[str, object] = {"seeds": len(arguments.seeds), **timing.conditions()}
    if len(arguments.seeds) > 1 and {"rate 0", "rate 0.9", "rate 0, 1.3 x steps"} <= found.keys():
        own = [one["frechet"] for one in found["rate 0.9"]]
        facts["self-conditioning helps"] = all(
            is_better(own, [one["frechet"] for one in found[row]])
            for row in ("rate 0", "rate 0, 1.3 x steps")
        )
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()

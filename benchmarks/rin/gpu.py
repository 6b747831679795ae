"""Training steps, sampling and six minutes of CIFAR-10 on a GPU; see ``gpu.sh``.

    python -m benchmarks.rin.gpu training|sampling|cifar10 [--tiny]

Not run by make bench. "share of peak" is of dense bfloat16 as the vendor states it (``PEAKS``),
counting two operations for a multiply-add of the forward and the backward pass (three forward
passes) and of the first pass of self-conditioning.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import timing
from scalable_binding.diffusion import samplers
from scalable_binding.engine import optimizers
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.engine.fit import Hook
from scalable_binding.engine.interruption import Interrupted
from scalable_binding.rin import flops, inference, model, objective, presets, train
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.inference import Pretrained, SamplingConfig

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "RTX 4090": 165e12}
BATCHES = {"cifar10": 256, "imagenet64": 128, "imagenet256": 64, "imagenet1024": 8}
STEPS = 8
SECONDS = 360.0
TINY = {
    "model.num_latents": "8",
    "model.latent_width": "32",
    "model.interface_width": "16",
    "model.num_blocks": "1",
    "model.num_layers": "1",
    "model.num_heads": "4",
    "model.cross_heads": "4",
}


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def settings(name: str, *, tiny: bool) -> RINConfig:
    config: RINConfig = getattr(presets, name)()
    if not tiny:
        return config
    size = ",".join(str(4 * cut) for cut in config.model.patch)
    return override(config, {**TINY, "model.size": size})


def measure_training(*, tiny: bool) -> list[dict[str, Any]]:
    rows = []
    for name, batch in BATCHES.items():
        try:
            rows.append(train_steps(name, 2 if tiny else batch, tiny=tiny))
        except torch.OutOfMemoryError:
            rows.append({"": name, "batch": batch, "steps/s": "out of memory"})
    return rows


def train_steps(name: str, batch: int, *, tiny: bool) -> dict[str, Any]:
    config, place = settings(name, tiny=tiny), device()
    network = model.init_model(0, **to_mapping(config.model)).to(place).train()
    if not tiny:
        network.compile()
    optimizer = optimizers.build(network, config.fit.optimizer)
    generator = torch.Generator(place).manual_seed(0)
    shape = (batch, config.model.channels, *config.model.size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, device=place)
    labels = torch.zeros(batch, dtype=torch.int64, device=place)

    def step() -> None:
        with torch.autocast(place.type, torch.bfloat16):
            found = objective.loss(
                network, {"image": images, "label": labels}, generator, config.diffusion
            )
        found[0].backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    seconds = seconds_of(step, STEPS)
    count = flops.count(config.model)
    operations = 2 * batch * count.multiply_adds * (3 + config.diffusion.self_conditioning)
    row: dict[str, Any] = {"": name, "batch": batch, "parameters, M": count.parameters / 1e6}
    row |= {"steps/s": 1 / seconds, "T operations/s": operations / seconds / 1e12}
    if torch.cuda.is_available():
        kind = torch.cuda.get_device_name()
        peak = next((value for key, value in PEAKS.items() if key in kind), None)
        row["share of peak"] = operations / seconds / peak if peak else "unknown"
        row["GB"] = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
    return row


def seconds_of(run: Callable[[], Any], times: int) -> float:
    synchronize()
    start = time.perf_counter()
    for _ in range(times):
        run()
    synchronize()
    return (time.perf_counter() - start) / times


def measure_sampling(*, tiny: bool) -> list[dict[str, Any]]:
    rows, place = [], device()
    for batch in (1, 64):
        config = settings("cifar10", tiny=tiny)
        network = model.init_model(0, **to_mapping(config.model)).to(place).eval()
        pretrained = Pretrained(model=network, diffusion=config.diffusion)
        sampling = SamplingConfig(steps=4 if tiny else 50, sampler="ddim", bfloat16=True)
        for captured in (False, True):
            if captured and place.type != "cuda":
                continue
            sample = partial(sample_once, pretrained, batch, replace(sampling, cuda_graph=captured))
            sample()
            seconds = seconds_of(sample, 3)
            name = "captured graph" if captured else "eager"
            rows.append({"": name, "batch": batch, "samples/s": batch / seconds})
    return rows


def sample_once(pretrained: Pretrained, batch: int, config: SamplingConfig) -> None:
    samplers.last(inference.sample(pretrained, batch, config, classes=range(10)))


def train_cifar10(data: Path, out: Path, *, tiny: bool) -> None:
    """Train for six minutes from here, then write samples; the rate falls with the time planned."""
    config = settings("cifar10", tiny=False)
    changes = {"fit.compile": "true", "sample_every": "0", "fit.num_workers": "8"}
    changes |= {"fit.steps": "4000", "fit.schedule.warm_up": "300", "fit.ema.decay": "0.999"}
    changes |= {"fit.schedule.curve": "cosine", "fit.save_every": "500"}
    config = override(config, changes)
    if tiny:
        small = {**TINY, "fit.steps": "3", "fit.batch_size": "4", "fit.num_workers": "0"}
        config = override(config, {**small, "fit.compile": "false", "fit.save_every": "2"})
    start = time.perf_counter()

    def stop(step: int, network: nn.Module, run: Path) -> None:
        if time.perf_counter() - start > SECONDS - 45:
            signal.raise_signal(signal.SIGTERM)

    run = out / "cifar10"
    try:
        dataset = train.open_data(config, [data])
        train.train_on(dataset, config, run, hooks=[Hook(100, stop)])
    except Interrupted as stopped:
        print(stopped)
    sampled = replace(config, sample_steps=2 if tiny else 50)
    network = inference.load(run, device=device()).model
    dataset = train.open_data(config, [data])
    train.render_samples(0, network, run, config=sampled, dataset=dataset)
    print(f"samples: {run / 'samples'}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("job", choices=("training", "sampling", "cifar10"))
    options.add_argument("--data", type=Path)
    options.add_argument("--out", type=Path)
    options.add_argument("--json", type=Path)
    options.add_argument("--tiny", action="store_true")
    arguments = options.parse_args()
    torch.set_float32_matmul_precision("high")
    if arguments.job == "cifar10":
        train_cifar10(arguments.data, arguments.out, tiny=arguments.tiny)
        return
    measure = measure_training if arguments.job == "training" else measure_sampling
    facts: dict[str, object] = {**timing.conditions()}
    if torch.cuda.is_available():
        facts["device"] = torch.cuda.get_device_name()
    timing.report(measure(tiny=arguments.tiny), facts, arguments.json)


if __name__ == "__main__":
    main()

"""Training step, sampling and memory beside rin-pytorch, at equal precision.

    OMP_NUM_THREADS=1 python -m benchmarks.rin.step [--peer DIR] [--batch 4] [--rounds 5]
        [--clock cpu] [--json FILE]

Question: how do a training step, ten DDIM steps and the memory of training compare with those of
rin-pytorch 0.8.0 in its closest setting, float32 beside float32, bfloat16 beside bfloat16, in the
same process, A B A B? DIR holds the peer, which is no dependency and is not run without it:

    pip install --no-deps --target DIR rin-pytorch==0.8.0

What it imports only for its own trainer (torchvision, accelerate, ...) is replaced by nothing. Both
predict eps without loss weights, take the time as a latent and the first pass for self-conditioning
in every step, and use Adam. The peer runs its usual 4 heads of 32 channels (attention 128 wide);
here attention is 256 wide among latents and 128 in reading and writing, as in the thesis. Hence the
multiply-adds, which are counted and printed: times are also given per multiply-add. "kept" are the
tensors that a step keeps for the way back, weights included.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import resource
import subprocess
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import timing
from scalable_binding.diffusion import samplers
from scalable_binding.engine import optimizers
from scalable_binding.engine.fit_config import OptimizerConfig
from scalable_binding.rin import flops, inference, model, objective
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.inference import Pretrained, SamplingConfig

PEER = "rin-pytorch"
HERE = "here"
SIDE, PATCH = 64, 4
LATENTS, LATENT_WIDTH, WIDTH, BLOCKS, LAYERS = 128, 256, 128, 4, 2
HEADS_OF_PEER = 4
STEPS_FOR_MEMORY = 4
STEPS_OF_SAMPLER = 10
OPTIONAL = ("torchvision", "accelerate", "ema_pytorch", "tqdm")


class Absent(types.ModuleType):
    """A module in place of one that is not needed: any name in it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":
            return []
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_peer(folder: Path) -> Any:
    for name in OPTIONAL:
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            sys.modules[name] = Absent(name)
    sys.path.insert(0, str(folder))
    return importlib.import_module("rin_pytorch.rin_pytorch")


class Contestant(NamedTuple):
    """What is timed, and the multiply-adds of its forward pass for one image."""

    step: Callable[[], Any]
    sample: Callable[[], Any]
    multiply_adds: int


def peer(folder: Path, batch: int, *, bfloat16: bool) -> Contestant:
    package = import_peer(folder)
    package.tqdm = lambda steps, **_: steps
    network = package.RIN(
        dim=WIDTH,
        image_size=SIDE,
        patch_size=PATCH,
        depth=BLOCKS,
        latent_self_attn_depth=LAYERS,
        dim_latent=LATENT_WIDTH,
        num_latents=LATENTS - 1,
        latent_token_time_cond=True,
        patches_self_attn=False,
        heads=HEADS_OF_PEER,
    )
    diffusion = package.GaussianDiffusion(
        network,
        objective="eps",
        min_snr_loss_weight=False,
        train_prob_self_cond=1.0,
        timesteps=STEPS_OF_SAMPLER,
        use_ddim=True,
    )
    x, gamma = inputs(batch)
    images = x.sigmoid()
    latents = torch.zeros(1, LATENTS - 1, LATENT_WIDTH)

    def sample() -> None:
        with torch.no_grad(), autocast(bfloat16):
            diffusion.sample(batch)

    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        with autocast(bfloat16):
            loss = diffusion(images)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def forward() -> None:
        network(x[:1], gamma[:1], None, latents, return_latents=True)

    return Contestant(step, sample, multiply_adds(forward))


def ours(batch: int, *, bfloat16: bool, checkpointing: bool = False) -> Contestant:
    network = model.init_model(
        0,
        size=(SIDE, SIDE),
        channels=3,
        patch=(PATCH, PATCH),
        num_latents=LATENTS,
        latent_width=LATENT_WIDTH,
        interface_width=WIDTH,
        num_blocks=BLOCKS,
        num_layers=LAYERS,
        num_heads=8,
        cross_heads=4,
        checkpointing=checkpointing,
    )
    config = DiffusionConfig(self_conditioning=1.0)
    x, _ = inputs(batch)
    images = {"image": (255 * x.sigmoid()).byte()}
    generator = torch.Generator().manual_seed(0)
    pretrained = Pretrained(model=network, diffusion=config)
    sampling = SamplingConfig(sampler="ddim", steps=STEPS_OF_SAMPLER, bfloat16=bfloat16)

    def sample() -> None:
        samplers.last(inference.sample(pretrained, batch, sampling))

    optimizer = optimizers.build(network, OptimizerConfig(name="adam"))

    def step() -> None:
        with autocast(bfloat16):
            loss, _ = objective.loss(network, images, generator, config)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return Contestant(step, sample, flops.count(network.settings).multiply_adds)


def autocast(bfloat16: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16)


def multiply_adds(forward: Callable[[], Any]) -> int:
    """Return those of matrix products, attention counted as its two products."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops() // 2


def inputs(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    return x, torch.rand(batch, generator=generator)


def contestants(folder: Path | None, batch: int) -> dict[str, Callable[[], Contestant]]:
    """Return how to build each, the baseline of a precision first."""
    made: dict[str, Callable[[], Contestant]] = {}
    for precision in ("float32", "bfloat16"):
        half = precision == "bfloat16"
        if folder is not None:
            made[f"{PEER}, {precision}"] = partial(peer, folder, batch, bfloat16=half)
        made[f"{HERE}, {precision}"] = partial(ours, batch, bfloat16=half)
        made[f"{HERE}, {precision}, checkpointed"] = partial(
            ours, batch, bfloat16=half, checkpointing=True
        )
    return made


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def kept_by(step: Callable[[], Any]) -> float:
    """Return how many MB a step keeps for its way back, everything once."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    return sum(kept.values()) / 2**20


def warm_up() -> None:
    """Take a step so small that its memory is what torch itself loads for a first one."""
    layer = torch.nn.Linear(8, 8)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(2, 8)).sum().backward()
    optimizer.step()


def measure_memory(name: str, folder: Path | None, batch: int) -> float:
    """Return by how many MB some training steps raise the peak of this process."""
    if folder is not None:
        import_peer(folder)
    warm_up()
    gc.collect()
    before = megabytes()
    contestant = contestants(folder, batch)[name]()
    for _ in range(STEPS_FOR_MEMORY):
        contestant.step()
    return megabytes() - before


def memory_of(name: str, folder: Path | None, batch: int) -> float:
    """Return the same for a process that does nothing else."""
    child = [sys.executable, "-m", "benchmarks.rin.step", "--memory-of", name]
    child += ["--batch", str(batch)]
    child += [] if folder is None else ["--peer", str(folder)]
    done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=timing.ROOT)
    return float(done.stdout.split()[-1])


def main() -> None:
    options = timing.parser(__doc__, rounds=5)
    options.add_argument("--peer", type=Path, help="folder that rin-pytorch is installed in")
    options.add_argument("--batch", type=int, default=4, help="images in a step")
    options.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if arguments.memory_of:
        print(measure_memory(arguments.memory_of, arguments.peer, arguments.batch))
        return
    names = contestants(arguments.peer, arguments.batch)
    memory = {name: memory_of(name, arguments.peer, arguments.batch) for name in names}
    made = {name: make() for name, make in names.items()}
    rows = []
    for kind in ("sample", "step"):
        for precision in ("float32", "bfloat16"):
            runs = {
                name: getattr(one, kind)
                for name, one in made.items()
                if f", {precision}" in name and (kind == "step" or "checkpointed" not in name)
            }
            first = next(iter(runs))
            seconds = timing.in_turns(runs, arguments.rounds, clock=arguments.clock)
            for row in timing.compare(seconds, first):
                name = row.pop("")
                rows.append({"": f"{kind}, {name}", **row})
                rows[-1]["G multiply-adds"] = made[name].multiply_adds / 1e9
                if kind == "step":
                    rows[-1] |= {"peak MB": memory[name], "kept MB": kept_by(runs[name])}
                    rows[-1]["peak, ratio"] = memory[name] / memory[first]
    facts = {"clock": arguments.clock, "batch": arguments.batch, **timing.conditions()}
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()

"""A forward pass and a training step beside those of rin-pytorch, and their memory.

    python -m benchmarks.rin.step [--peer DIR] [--batch 4] [--rounds 9] [--clock cpu]
        [--json FILE]

Some two minutes. The claim: beside rin-pytorch 0.8.0 in its closest setting a step is at least
1.25 times faster, a forward pass 1.3 times, and the memory that training takes at most 0.65 times
as large. DIR holds the peer, which is no dependency and is not run without this option:

    pip install --no-deps --target DIR rin-pytorch==0.8.0

What it imports only for its own trainer (torchvision, accelerate, ...) is replaced by nothing. Its
closest settings: the time as a latent, no attention among patches, eps predicted, no weights in the
loss. With its usual 4 heads of 32 channels all attention is 128 wide, with 8 it is 256 wide; here
it is 256 among latents and 128 in reading and writing, as in the thesis. Multiply-adds of a forward
pass are 1.38, 1.75 and 1.55 billion. Both take the first pass for self-conditioning in every step,
and Adam, here as training builds it. "kept" are the tensors that a step keeps for the way back,
weights included; what is "checkpointed" keeps only what is between blocks, and computes each block
again.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import resource
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import timing
from scalable_binding.engine import optimizers
from scalable_binding.engine.fit_config import OptimizerConfig
from scalable_binding.rin import model, objective
from scalable_binding.rin.config import DiffusionConfig

PEER = "rin-pytorch"
OURS = "here, float32"
SIDE, PATCH = 64, 4
LATENTS, LATENT_WIDTH, WIDTH, BLOCKS, LAYERS = 128, 256, 128, 4, 2
STEPS_FOR_MEMORY = 4
ABSENT = ("torchvision", "accelerate", "ema_pytorch", "tqdm", "tqdm.auto")


class Absent(types.ModuleType):
    """A module in place of one that is not needed: any name in it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":
            return []
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_peer(folder: Path) -> Any:
    for name in ABSENT:
        sys.modules.setdefault(name, Absent(name))
    sys.path.insert(0, str(folder))
    return importlib.import_module("rin_pytorch.rin_pytorch")


def peer(folder: Path, batch: int, *, heads: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a forward pass and a training step of rin-pytorch."""
    package = import_peer(folder)
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
        heads=heads,
    )
    diffusion = package.GaussianDiffusion(
        network, objective="eps", min_snr_loss_weight=False, train_prob_self_cond=1.0
    )
    x, gamma = inputs(batch)
    latents = torch.zeros(batch, LATENTS - 1, LATENT_WIDTH)

    def forward() -> None:
        with torch.no_grad():
            network(x, gamma, None, latents, return_latents=True)

    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        diffusion(x.sigmoid()).backward()
        optimizer.step()
        optimizer.zero_grad()

    return forward, step


def ours(
    batch: int, *, bfloat16: bool, checkpointing: bool = False
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return a forward pass and a training step of this package."""
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
    x, gamma = inputs(batch)
    latents = torch.zeros(batch, LATENTS, LATENT_WIDTH)
    images = {"image": (255 * x.sigmoid()).byte()}
    generator = torch.Generator().manual_seed(0)

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            network(x, gamma, latents=latents)

    optimizer = optimizers.build(network, OptimizerConfig(name="adam"))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, _ = objective.loss(network, images, generator, config)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return forward, step


def inputs(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, SIDE, SIDE, generator=generator)
    return x, torch.rand(batch, generator=generator)


def contestants(folder: Path | None, batch: int) -> dict[str, Callable[[], tuple[Any, Any]]]:
    made = {}
    if folder is not None:
        made[f"{PEER}, 4 heads"] = lambda: peer(folder, batch, heads=4)
        made[f"{PEER}, 8 heads"] = lambda: peer(folder, batch, heads=8)
    made[OURS] = lambda: ours(batch, bfloat16=False)
    made["here, bfloat16"] = lambda: ours(batch, bfloat16=True)
    made["here, float32, checkpointed"] = lambda: ours(batch, bfloat16=False, checkpointing=True)
    made["here, bfloat16, checkpointed"] = lambda: ours(batch, bfloat16=True, checkpointing=True)
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
    _, step = contestants(folder, batch)[name]()
    for _ in range(STEPS_FOR_MEMORY):
        step()
    return megabytes() - before


def memory_of(name: str, folder: Path | None, batch: int) -> float:
    """Return the same for a process that does nothing else."""
    child = [sys.executable, "-m", "benchmarks.rin.step", "--memory-of", name]
    child += ["--batch", str(batch)]
    child += [] if folder is None else ["--peer", str(folder)]
    done = subprocess.run(child, check=True, capture_output=True, text=True, cwd=timing.ROOT)
    return float(done.stdout.split()[-1])


def main() -> None:
    options = timing.parser(__doc__, rounds=9)
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
    for kind, number in (("forward", 0), ("step", 1)):
        runs = {name: pair[number] for name, pair in made.items()}
        seconds = timing.in_turns(runs, arguments.rounds, clock=arguments.clock)
        for row in timing.compare(seconds, next(iter(runs))):
            name = row.pop("")
            rows.append({"": f"{kind}, {name}", **row})
            if kind == "step":
                rows[-1] |= {"peak MB": memory[name], "kept MB": kept_by(runs[name])}
    facts = {"clock": arguments.clock, "batch": arguments.batch, **timing.conditions()}
    timing.report(rows, facts, arguments.json)


if __name__ == "__main__":
    main()

"""A training step in channels-last order and bfloat16 against the same step in plain float32.

    python -m benchmarks.crw.training_step [--rounds 7] [--clock cpu] [--json FILE]

Some three minutes. The claim: at least twice as fast, for the preset ``small`` (the dense walk) and
for the patches and the network of ``kinetics`` (at one clip of three frames instead of twenty of
ten). A step is what the training loop does with a batch: both passes, optimizer, running average,
and crops of patches.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import timing
from scalable_binding.crw import dense_objective, objective, presets, train
from scalable_binding.crw.presets import CRWConfig
from scalable_binding.engine.config import override
from scalable_binding.engine.distributed import distributed_session
from scalable_binding.engine.loading import MicroBatch
from scalable_binding.engine.trainer import Loss, Trainer

PLAIN = "float32"
CASES = {
    "small": (presets.small(), {}),
    "kinetics": (presets.kinetics(), {"fit.batch_size": 1, "clips.num_frames": 3}),
}


def as_plain(conv: nn.Module, images: tuple[Tensor]) -> tuple[Tensor]:
    """Return images in the order in which plain tensors lie, in which all that follow then are."""
    return (images[0].contiguous(),)


def step_of(config: CRWConfig, *, channels_last: bool, bfloat16: bool) -> Callable[[], None]:
    """Return a function that does the next training step on one and the same batch."""
    fit = {"channels_last": channels_last, "bfloat16": bfloat16, "device": "cpu"}
    config = override(config, {f"fit.{name}": value for name, value in fit.items()})
    encoder = train.build(config)
    if not channels_last:
        encoder.resnet.conv1.register_forward_pre_hook(as_plain)
    with distributed_session("cpu") as ranks:
        trainer = Trainer(encoder, loss_of(config), config.fit, ranks)
    batch = [MicroBatch(0, draw_batch(config))]
    step = 0

    def run() -> None:
        nonlocal step
        step += 1
        trainer.update(batch, step)

    return run


def loss_of(config: CRWConfig) -> Loss:
    if config.dense is not None:
        return partial(dense_objective.loss, config=config.dense)
    return partial(objective.loss, config=config.walk)


def draw_batch(config: CRWConfig) -> dict[str, Tensor]:
    """Noise in place of a batch's frames, or of the views of the dense walk."""
    clips, dense, b = config.clips, config.dense, config.fit.batch_size
    side = dense.view if dense is not None else clips.crop or clips.size
    assert side is not None
    num = clips.num_frames + (dense is not None)
    generator = torch.Generator().manual_seed(0)
    shape = (b, num, 3, side, side)
    frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    if dense is None:
        return {"frames": frames}
    windows = torch.tensor([0.0, 0.0, side, side]).expand(b, num, 4)
    return {"views": frames, "windows": windows + torch.rand(b, num, 4, generator=generator)}


def contestants(config: CRWConfig) -> dict[str, Callable[[], None]]:
    return {
        PLAIN: step_of(config, channels_last=False, bfloat16=False),
        "channels last": step_of(config, channels_last=True, bfloat16=False),
        "channels last, bfloat16": step_of(config, channels_last=True, bfloat16=True),
    }


def main() -> None:
    parser = timing.parser(__doc__, rounds=7)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in arguments.settings)
    rows: list[dict[str, Any]] = []
    for name in arguments.cases:
        preset, changes = CASES[name]
        seconds = timing.in_turns(
            contestants(override(preset, changes | settings)), arguments.rounds
        )
        rows += [{"step of": name, **row} for row in timing.compare(seconds, PLAIN)]
    timing.report(rows, {"clock": arguments.clock, **timing.conditions()}, arguments.json)


if __name__ == "__main__":
    main()

"""Weights from elsewhere: torchvision's ResNets, the authors' checkpoints, older files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalable_binding.crw.backbone import Backbone
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS
from scalable_binding.errors import UserError
from scalable_binding.nn.resnet import PaddingMode

NUM_STAGES = 3
"""Of an encoder at least."""

_RESNET, _HEAD = "backbone.resnet.", "backbone.head."


def read(found: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A file's tensors under our names, and the arguments of the backbone that they fit.

    A network without our head (ImageNet's) gets a fresh one. The authors padded by reflection,
    torchvision pads with zeros.

    Raises:
        UserError: the tensors are those of another architecture, or of ours without its settings.
    """
    tensors = our_names(found)
    if any(name.startswith("reader.") for name in tensors):
        expected = f"{CONFIG} beside it, and its own name {WEIGHTS}"
        raise UserError(f"{path} is an encoder of ours", expected=expected, got="it alone")
    kernels = [tensors.get(f"{_RESNET}layer{stage}.0.conv1.weight") for stage in range(1, 5)]
    widths = tuple(len(kernel) for kernel in kernels if kernel is not None and kernel.ndim == 4)
    if len(widths) < NUM_STAGES:
        raise UserError(
            f"{path} is of another architecture",
            expected="a ResNet of basic blocks with torchvision's names",
            got=f"{len(widths)} such stages among {len(found)} tensors",
        )
    if f"{_HEAD}weight" not in tensors:
        tensors |= _fresh_head(widths[-1])
    padding: PaddingMode = "reflect" if any("selfsim_fc." in name for name in found) else "zeros"
    shape = tensors[f"{_HEAD}weight"].shape
    width = shape[0] if len(shape) == 2 else 0
    return tensors, {"widths": widths, "width": width, "padding_mode": padding}


def _fresh_head(channels: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Backbone((channels,)).head
    assert head is not None
    return {f"{_HEAD}{name}": tensor for name, tensor in head.state_dict().items()}


def our_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under our names, from ours, torchvision's or the authors'."""
    return dict(_renamed(tensors))


def _renamed(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors.items():
        name = name.removeprefix("module.").replace("selfsim_fc.0.", "head.")
        for prefix in ("encoder.", "model.", "backbone."):
            name = name.removeprefix(prefix)
        if name.startswith(("conv1.", "bn1.", "layer")):
            name = f"resnet.{name}"
        if name.startswith(("resnet.", "head.")):
            yield f"backbone.{name}", tensor
        elif name.startswith("reader."):
            yield name, tensor
        elif name.startswith("whitenings."):  # of before a reader was a thing of its own
            name = f"reader.{name}".replace(".centre", ".mean")
            yield name, tensor
            if name.endswith(".mean"):
                yield name.replace(".mean", ".fitted"), torch.ones((), dtype=torch.int64)

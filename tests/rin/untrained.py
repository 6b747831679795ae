"""Small networks without training, in which everything has an effect: for tests of inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from scalable_binding.engine.checkpoint import save_tensors
from scalable_binding.engine.config import to_mapping
from scalable_binding.metrics.networks import ImageClassifier
from scalable_binding.rin import model as networks
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.pretrained import Pretrained

SMALL: dict[str, Any] = {
    "num_latents": 6,
    "latent_width": 16,
    "interface_width": 8,
    "num_blocks": 2,
    "num_layers": 1,
    "num_heads": 2,
    "cross_heads": 2,
}
IMAGES: dict[str, Any] = {"size": (8, 8), "channels": 1, "patch": (2, 2), "num_classes": 10}
VIDEOS: dict[str, Any] = {"size": (6, 8, 8), "channels": 1, "patch": (2, 4, 4), "context": 2}


def images(diffusion: DiffusionConfig | None = None, **arguments: Any) -> Pretrained:
    """A network of 8 x 8 pictures of ten classes."""
    return _build(diffusion or DiffusionConfig(label_dropout=0.1), IMAGES | arguments)


def videos(diffusion: DiffusionConfig | None = None, **arguments: Any) -> Pretrained:
    """A network of 6 frames of 8 x 8 pixels, of which two are given."""
    return _build(diffusion or DiffusionConfig(), VIDEOS | arguments)


def save(pretrained: Pretrained, run: Path, **changes: Any) -> Path:
    """The run's folder of a network, with some entries of its config changed or (None) gone."""
    run.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"system": "rin", **networks.arguments(pretrained.model)}
    record |= {"diffusion": to_mapping(pretrained.diffusion), **changes}
    record = {name: value for name, value in record.items() if value is not None}
    (run / "config.json").write_text(json.dumps(record), encoding="utf-8")
    save_tensors(pretrained.model.state_dict(), run / "model.safetensors", step=1)
    return run


def features(folder: Path) -> Path:
    """A folder of a feature network for color images."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {"channels": 3, "num_classes": 5, "widths": [4, 4], "width": 6}
    save_file(ImageClassifier(**arguments).state_dict(), folder / "model.safetensors")
    card = {"kind": "images", "arguments": arguments, "name": "mine", "note": "not the standard"}
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    return folder


def _build(diffusion: DiffusionConfig, arguments: dict[str, Any]) -> Pretrained:
    model = networks.init_model(0, **(SMALL | arguments)).eval()
    # What starts at zero would have no effect.
    generator = torch.Generator().manual_seed(1)
    for module in (model.previous, model.previous_interface):
        if module is not None:
            nn.init.normal_(module.norm.weight, generator=generator)
    return Pretrained(model=model, diffusion=diffusion)

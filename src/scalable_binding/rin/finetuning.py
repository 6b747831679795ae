"""Fine-tuning: start from a trained network, of another size or with other classes."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from scalable_binding.errors import UserError
from scalable_binding.rin.config import ModelConfig, RINConfig
from scalable_binding.rin.model import RIN
from scalable_binding.rin.pretrained import Pretrained

FREE = {
    *("size", "num_classes", "num_latents", "context", "dropout", "drop_path"),
    *("checkpointing", "embedding_std", "smooth_positions"),
}
"""Settings of the network that may differ from those of the run it starts from."""


def starting_from(config: RINConfig, source: Pretrained) -> RINConfig:
    """The configuration with the network and the objective of a trained one; the rest stays."""
    return replace(config, model=source.model.settings, diffusion=source.diffusion)


def load_weights(
    network: RIN, source: Pretrained, classes: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    """Copy a trained network's weights into ``network``, adapted to its size and classes.

    Positions are interpolated to another grid (bi- or trilinear). The embeddings of classes are
    copied by name where both sides have names, by number where both have as many, and else keep
    their initialization; so do latents that the trained network lacks.

    Args:
        network: changed in place.
        source: the trained network.
        classes: names of the new classes, in the order of their numbers.

    Returns:
        Names of the tensors that were "copied", "adapted" and left "fresh".

    Raises:
        UserError: networks that differ in more than size, classes, latents and dropout.
    """
    _check(network.settings, source.model.settings)
    weights = source.model.state_dict()
    adapted = {"embedding.positions": _positions(network, source.model)}
    if network.label is not None and source.model.label is not None:
        adapted |= _labels(network, source, classes)
    told: dict[str, list[str]] = {"copied": [], "adapted": [], "fresh": []}
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            given = adapted.get(name, weights.get(name))
            if given is None or (given.shape != tensor.shape and name != "latents"):
                told["fresh"].append(name)
                continue
            count = min(len(given), len(tensor))
            tensor[:count] = given[:count].to(tensor.device)
            kind = "copied" if name not in adapted and given.shape == tensor.shape else "adapted"
            told[kind].append(name)
    return told


def interpolate_positions(
    positions: Float[Tensor, "n d"], old: tuple[int, ...], new: tuple[int, ...]
) -> Float[Tensor, "m d"]:
    """Learned positions of one grid, interpolated linearly to another of as many axes."""
    if old == new:
        return positions
    grid = rearrange(positions, "n d -> 1 d n").unflatten(2, old)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(old)]
    resized = functional.interpolate(grid.float(), size=new, mode=mode, align_corners=False)
    return rearrange(resized.flatten(2), "1 d m -> m d").to(positions.dtype)


def _positions(network: RIN, source: RIN) -> Tensor:
    found = source.embedding.positions.detach()
    return interpolate_positions(found, source.grid, network.grid)


def _labels(network: RIN, source: Pretrained, classes: tuple[str, ...]) -> dict[str, Tensor]:
    """Columns of the class embedding, one a class."""
    assert network.label is not None and source.model.label is not None
    old = source.model.label.project.weight.detach()
    new = network.label.project.weight.detach().clone()
    if classes and source.classes:
        for number, name in enumerate(classes):
            if name in source.classes:
                new[:, number] = old[:, source.classes.index(name)]
    elif new.shape == old.shape:
        new = old
    return {"label.project.weight": new}


def _check(new: ModelConfig, old: ModelConfig) -> None:
    names = [field.name for field in fields(ModelConfig) if field.name not in FREE]
    differing = [name for name in names if getattr(new, name) != getattr(old, name)]
    if len(new.size) != len(old.size):
        differing.insert(0, "size")
    if differing:
        name = differing[0]
        raise UserError(
            f"model.{name} of a network to fine-tune",
            expected=str(getattr(old, name)),
            got=str(getattr(new, name)),
            fix="leave the network as that of the run it starts from",
        )

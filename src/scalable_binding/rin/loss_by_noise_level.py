"""Held-out loss by noise level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Float64
from torch import Generator, Tensor

from scalable_binding.errors import UserError
from scalable_binding.rin import objective
from scalable_binding.rin.pretrained import Pretrained

NUM_LEVELS = 10


@torch.no_grad()
def loss_by_noise_level(
    pretrained: Pretrained,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    num_levels: int = NUM_LEVELS,
    seed: int = 0,
) -> Float64[Tensor, " levels"]:
    """Mean squared error in equal intervals of diffusion time, from no noise to pure noise.

    Error and schedule are those of training; their mean is the training loss but for one thing:
    every example gets the latents of a first look, as in sampling, if the network was taught to
    use them.

    Args:
        pretrained: the network.
        batches: "image" or "video" in bytes, and "label" if the network knows classes.
        num_levels: parts of the time.
        seed: of times and noise.

    Raises:
        UserError: there are no examples.
    """
    generator = Generator(pretrained.device).manual_seed(seed)
    total, count = torch.zeros(num_levels, dtype=torch.float64), 0
    for batch in batches:
        x = pretrained.diffusion.scale * objective.pictures(batch).to(pretrained.device)
        labels = batch["label"].to(pretrained.device) if pretrained.model.num_classes else None
        for level in range(num_levels):
            chance = torch.rand(len(x), generator=generator, device=x.device)
            errors = _errors(pretrained, x, labels, (level + chance) / num_levels, generator)
            total[level] += errors.double().sum().cpu()
        count += len(x)
    if count == 0:
        raise UserError("held-out loss", expected="at least one example", got="none")
    return total / count


def _errors(
    pretrained: Pretrained,
    x: Float[Tensor, "b c *size"],
    labels: Tensor | None,
    time: Float[Tensor, " b"],
    generator: Generator,
) -> Float[Tensor, " b"]:
    """The squared error of each example, with latents of a first look."""
    model = pretrained.model
    gamma = pretrained.schedule(time)
    eps = torch.randn(x.shape, generator=generator, device=x.device)
    x_t = objective.add_noise(model, x, eps, gamma)
    latents, interface = None, None
    if pretrained.carries_latents:
        latents, interface = model.estimate_latents(x_t, gamma, classes=labels)
    output = model(x_t, gamma, classes=labels, latents=latents, interface=interface)
    return objective.squared_errors(model, output.prediction, x, eps, gamma, pretrained.diffusion)

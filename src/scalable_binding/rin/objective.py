"""Training loss: denoising with latent self-conditioning (Alg. 1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor, nn
from torch.nn import functional

from scalable_binding.diffusion import schedules, targets
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.model import DROPPED, RIN

Batch = Mapping[str, Tensor]
Encode = Callable[[Batch], Tensor]
"""From a batch to the signals that are generated, in +-1 or thereabouts."""


def loss(
    model: nn.Module,
    batch: Batch,
    generator: Generator,
    config: DiffusionConfig,
    *,
    encode: Encode | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]:
    """Denoising loss with latent self-conditioning (Alg. 1): mean squared error, and metrics.

    ``L = mean (f(x_t, gamma, Z) - eps)^2``, where Z are latents ``sg(f(x_t, gamma, 0))`` for the
    share ``config.self_conditioning`` of examples, each by itself, and 0 for the others.

    Frames that are given stay without noise, and are not scored.

    Args:
        model: a :class:`RIN`.
        batch: "image" ``(b c h w)`` or "video" ``(b c t h w)``, uint8, or what ``encode`` reads;
            and "label" ``(b)`` if the network knows classes.
        generator: of time, noise, and of what is hidden.
        config: schedule, target and rates.
        encode: how to make signals of a batch; None takes pictures as they are.

    Source: Thesis Alg. 1, with the coin tossed for each example.
    """
    assert isinstance(model, RIN)
    x = config.scale * (pictures if encode is None else encode)(batch)
    time = torch.rand(len(x), generator=generator, device=x.device)
    gamma = schedules.named(
        config.schedule, temperature=config.temperature, start=config.start, end=config.end
    )(time)
    eps = torch.randn(x.shape, generator=generator, device=x.device)
    x_t = add_noise(model, x, eps, gamma)
    classes = _classes(model, batch, config.label_dropout, generator)
    latents, interface = _first_look(model, x_t, gamma, classes, config, generator)
    output = model(x_t, gamma, classes=classes, latents=latents, interface=interface)
    errors = squared_errors(model, output.prediction, x, eps, gamma, config)
    if config.min_snr is None:
        return errors.mean(), {}
    weights = targets.min_snr_weight(gamma, config.target, config.min_snr, bound=config.scale)
    return (weights * errors).mean(), {"error": errors.mean().detach()}


def add_noise(
    model: RIN,
    x: Float[Tensor, "b c *size"],
    eps: Float[Tensor, "b c *size"],
    gamma: Float[Tensor, " b"],
) -> Float[Tensor, "b c *size"]:
    """Forward process; context frames stay clean."""
    x_t = targets.add_noise(x, eps, gamma)
    if model.context == 0:
        return x_t
    return torch.cat([x[:, :, : model.context], x_t[:, :, model.context :]], dim=2)


def squared_errors(
    model: RIN,
    prediction: Float[Tensor, "b c *size"],
    x: Float[Tensor, "b c *size"],
    eps: Float[Tensor, "b c *size"],
    gamma: Float[Tensor, " b"],
    config: DiffusionConfig,
) -> Float[Tensor, " b"]:
    """Mean squared error of each example, over what is generated of it."""
    goal = targets.from_x(x, eps, gamma, config.target)
    if config.target == "x":
        # In units of pictures in [-1, 1], so that the loss does not depend on the input scale.
        prediction = targets.clip(prediction, config.bound) / config.scale
        goal = goal / config.scale
    return (prediction - goal).square()[:, :, model.context :].flatten(1).mean(dim=1)


def pictures(batch: Batch) -> Float[Tensor, "b c *size"]:
    """The images or videos of a batch in [-1, 1]."""
    found = batch["video"] if "video" in batch else batch["image"]
    return targets.scale(found.float() / 255, 1.0)


def _classes(
    model: RIN, batch: Batch, dropout: float, generator: Generator
) -> Int64[Tensor, " b"] | None:
    """The labels, some of them hidden; None if the network knows no classes."""
    if model.num_classes == 0:
        return None
    labels = batch["label"]
    if dropout == 0:
        return labels
    chance = torch.rand(labels.shape, generator=generator, device=labels.device)
    return torch.where(chance < dropout, DROPPED, labels)


def _first_look(
    model: RIN,
    x_t: Float[Tensor, "b c *size"],
    gamma: Float[Tensor, " b"],
    classes: Int64[Tensor, " b"] | None,
    config: DiffusionConfig,
    generator: Generator,
) -> tuple[Float[Tensor, "b m d"] | None, Float[Tensor, "b n e"] | None]:
    """Latents (and interface) to go on from, 0 for those examples that begin without any.

    Examples of a batch are as good as each other, so the first ones take the look: so many that
    their number is that expected, rounded up. Each is then kept at a rate that makes the
    expectation exact. Shapes are thus the same in every step, and no example is looked at in vain
    more than once a batch.
    """
    expected = config.self_conditioning * len(x_t)
    count = math.ceil(expected)
    if count == 0:
        return None, None
    latents, interface = model.estimate_latents(
        x_t[:count], gamma[:count], classes=None if classes is None else classes[:count]
    )
    chance = torch.rand(count, generator=generator, device=x_t.device)
    kept = (chance < expected / count).to(latents.dtype)[:, None, None]
    filled = (0, 0, 0, 0, 0, len(x_t) - count)
    latents = functional.pad(latents * kept, filled)
    if interface is not None:
        interface = functional.pad(interface * kept, filled)
    return latents, interface


@torch.no_grad()
def held_out_loss(
    model: RIN,
    batch: Batch,
    config: DiffusionConfig,
    *,
    seed: int = 0,
    repeats: int = 4,
    encode: Encode | None = None,
    at_once: int | None = None,
) -> float:
    """Validation loss: the training loss on held-out examples, averaged over fresh noise.

    Noise, times and rates are those of training, drawn from the seed; labels are not hidden. So
    many examples ``at_once`` take up memory, None: all.
    """
    plain = replace(config, label_dropout=0.0, min_snr=None)
    generator = Generator(model.device).manual_seed(seed)
    num = len(next(iter(batch.values())))
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    for _ in range(repeats):
        for first in range(0, num, at_once or num):
            part = {name: value[first : first + (at_once or num)] for name, value in batch.items()}
            count = len(next(iter(part.values())))
            total += count * loss(model, part, generator, plain, encode=encode)[0]
    return float(total / (num * repeats))

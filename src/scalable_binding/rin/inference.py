"""Inference: load a trained network, and sample from it step by step or in batches.

>>> from scalable_binding.rin import inference                              # doctest: +SKIP
>>> model = inference.load("digits")                                        # doctest: +SKIP
>>> for state in inference.sample(model, 10, classes=range(10)):            # doctest: +SKIP
...     pictures = inference.pictures(model, state.x0)                      # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from scalable_binding.diffusion import noises, samplers, targets
from scalable_binding.diffusion.guidance import guide
from scalable_binding.diffusion.inpainting import with_known
from scalable_binding.diffusion.samplers import Denoise, State
from scalable_binding.diffusion.schedules import Schedule
from scalable_binding.errors import UserError
from scalable_binding.rin import cuda_graph
from scalable_binding.rin.classes import Classes, class_numbers
from scalable_binding.rin.denoiser import Carry, denoiser
from scalable_binding.rin.model import DROPPED
from scalable_binding.rin.pretrained import Pretrained, chosen_schedule, open_run, run_folder
from scalable_binding.rin.sampling_config import SamplingConfig

__all__ = [
    "Batch",
    "Carry",
    "Classes",
    "Known",
    "Pretrained",
    "SamplingConfig",
    "denoiser",
    "generate",
    "load",
    "pictures",
    "sample",
]


@dataclass(frozen=True)
class Known:
    """Pixels to keep when inpainting or completing a video.

    ``pictures`` are images or videos; ``mask`` is True where their pixels are given, the others are
    not looked at.
    """

    pictures: UInt8[Tensor, "num c *size"]
    mask: Bool[Tensor, "num 1 *places"]


@dataclass(frozen=True)
class Batch:
    """Finished samples: the number of the first, the signals, and their classes (-1: none)."""

    first: int
    samples: UInt8[Tensor, "b c *size"]
    classes: Int64[Tensor, " b"]


def load(run: str | Path, *, device: torch.device | str = "cpu") -> Pretrained:
    """The trained network of a run's folder, or one that comes with the package.

    Args:
        run: a folder with ``config.json`` and ``model.safetensors``, or the name of a network that
            ships: "digits", "moving-digits".
        device: where it is to run.

    Raises:
        UserError: no such folder, no weights in it yet, another system's, or weights that do not
            fit the configuration.
    """
    return open_run(run_folder(run), device=device)


def sample(
    pretrained: Pretrained,
    num: int,
    config: SamplingConfig | None = None,
    *,
    classes: Classes | None = None,
    first: int = 0,
    context: Float[Tensor, "num c k h w"] | None = None,
    known: Known | None = None,
    attend: bool = False,
) -> Iterator[State]:
    """The states of the reverse process of one batch; the last ``x0`` is the sample, in +-b.

    Sample number i is the same whatever batch it is in, but for the rounding of batched products.

    The parts that cost nothing are checked at once, not when the first state is asked for.

    Args:
        pretrained: the network, from :func:`load`.
        num: samples.
        config: how to sample.
        classes: of the samples in turn, by number or name, again from the start when they run out;
            None samples without a class.
        first: number of the first sample.
        context: clean first frames, in +-b, which are held fixed; of a network that predicts.
        known: pixels that are given, of a network that generates all; the others are filled in.
        attend: keep the read attention of each step in the state's carry.

    Raises:
        UserError: a class that the network does not know, guidance of one that was not trained to
            go without a class, or context where there is none or a lack of it.

    Source: Thesis Alg. 2.
    """
    config = config or SamplingConfig()
    labels = class_numbers(pretrained, num, classes, first)
    _check_context(pretrained, num, context)
    if classes is None and pretrained.model.num_classes and not pretrained.diffusion.label_dropout:
        text = "this network was never without a class (label_dropout 0): samples will be poor"
        warnings.warn(f"{text}; give classes", stacklevel=2)
    device = pretrained.device
    schedule = _schedule(pretrained, config)
    is_guided = config.guidance != 1
    if is_guided:
        _check_guidance(pretrained, labels)
        labels = torch.cat([labels, torch.full_like(labels, DROPPED)])
        context = None if context is None else torch.cat([context, context])
    denoise = denoiser(pretrained, labels, context=context, attend=attend, bfloat16=config.bfloat16)
    if config.cuda_graph:
        denoise = cuda_graph.captured(denoise, pretrained)
    if is_guided:
        low, high = (
            float(schedule(torch.tensor(time, dtype=torch.float64)))
            for time in reversed(config.guidance_interval)
        )
        denoise = guide(
            denoise, config.guidance, (low, high), shares_carry=config.guidance_latents == "shared"
        )
    if known is not None:
        _check_known(pretrained, num, known)
        values = targets.scale(known.pictures.float() / 255, pretrained.diffusion.scale)
        denoise = with_known(
            denoise, values.to(device), known.mask.expand_as(values), pretrained.diffusion.target
        )
    generators = noises.generators(config.seed, range(first, first + num), device)
    noise = noises.sample_noise(generators, pretrained.generated_size)
    return _run(pretrained, denoise, noise, schedule, config, generators)


def _run(
    pretrained: Pretrained,
    denoise: Denoise,
    noise: Tensor,
    schedule: Schedule,
    config: SamplingConfig,
    generators: list[torch.Generator],
) -> Iterator[State]:
    named: dict[str, Any] = {
        "target": pretrained.diffusion.target,
        "bound": pretrained.diffusion.bound,
    }
    if config.sampler == "ddpm":
        return samplers.ddpm(
            denoise, noise, schedule, config.steps, generators, variance=config.variance, **named
        )
    sampler = samplers.ddim if config.sampler == "ddim" else samplers.dpmpp_2m
    return sampler(denoise, noise, schedule, config.steps, **named)


def generate(
    pretrained: Pretrained,
    num: int,
    config: SamplingConfig | None = None,
    *,
    classes: Classes | None = None,
    first: int = 0,
    watch: Callable[[int, State], object] | None = None,
) -> Iterator[Batch]:
    """Finished samples, a batch at a time, however many; batches that are too large are halved.

    Args:
        pretrained, num, config, classes, first: as :func:`sample`.
        watch: is told the number of the batch's first sample and its state after every step.

    Raises:
        UserError: as :func:`sample`, and when not even one sample fits into the device's memory.
    """
    config = config or SamplingConfig()
    if num < 1:
        raise UserError("samples", expected="at least 1", got=str(num))
    size, start = config.batch_size, first
    while start < first + num:
        count = min(size, first + num - start)
        try:
            state = None
            for state in sample(pretrained, count, config, classes=classes, first=start):
                if watch is not None:
                    watch(start, state)
        except RuntimeError as error:
            if not _is_lack_of_memory(error):
                raise
            if count == 1:
                raise UserError("one sample does not fit into the device's memory") from error
            size = (count + 1) // 2
            continue
        assert state is not None
        labels = class_numbers(pretrained, count, classes, start)
        yield Batch(start, pictures(pretrained, state.x0), labels)
        start += count


def pictures(pretrained: Pretrained, x: Float[Tensor, "b c *size"]) -> UInt8[Tensor, "b c *size"]:
    """Signals in +-b as pictures of bytes, on the CPU."""
    unscaled = targets.unscale(x, pretrained.diffusion.scale)
    return (unscaled * 255).round().byte().cpu()


def _schedule(pretrained: Pretrained, config: SamplingConfig) -> Schedule:
    if config.schedule == "trained":
        return pretrained.schedule
    return chosen_schedule(config)


def _check_guidance(pretrained: Pretrained, labels: Int64[Tensor, " b"]) -> None:
    if pretrained.diffusion.label_dropout == 0:
        raise UserError(
            "guidance",
            expected="a network that was trained with diffusion.label_dropout above 0",
            got="one that was never without a class"
            if pretrained.model.num_classes
            else "one without classes",
            fix="sample with guidance 1",
        )
    if (labels < 0).any():
        raise UserError("guidance", expected="classes to lead to", got="none", fix="give classes")


def _check_context(pretrained: Pretrained, num: int, context: Tensor | None) -> None:
    model = pretrained.model
    size = (num, model.channels, model.context, *model.size[1:])
    got = None if context is None else tuple(context.shape)
    if model.context == 0 and got is not None:
        raise UserError("context frames", expected="none: the network generates all", got=str(got))
    if model.context > 0 and got != size:
        raise UserError("context frames", expected=str(size), got=str(got or "none"))


def _check_known(pretrained: Pretrained, num: int, known: Known) -> None:
    size = (num, *pretrained.generated_size)
    if tuple(known.pictures.shape) != size:
        got = str(tuple(known.pictures.shape))
        raise UserError("known pictures", expected=f"{size}, as generated", got=got)
    if tuple(known.mask.shape) != (num, 1, *size[2:]):
        expected = f"{(num, 1, *size[2:])}, one value for each pixel"
        raise UserError("mask of known pixels", expected=expected, got=str(tuple(known.mask.shape)))


def _is_lack_of_memory(error: RuntimeError) -> bool:
    """Whether a device had no room; on the CPU, torch says so in words alone."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)

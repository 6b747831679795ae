"""Reverse processes of recurrent interface networks, kept step by step for the page."""

from __future__ import annotations

import io
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from scalable_binding.app.jobs import Event
from scalable_binding.data.datasets.moving_digits import MovingDigits, MovingDigitsConfig
from scalable_binding.errors import UserError
from scalable_binding.rin import inference, prediction
from scalable_binding.rin.pretrained import Pretrained
from scalable_binding.rin.sampling_config import SamplingConfig

MAX_SAMPLES = 16
MAX_STEPS = 250

_KEPT_BYTES = 128 * 2**20
"""Of the processes that can be looked at; the oldest go."""


@dataclass(kw_only=True)
class Process:
    """One reverse process: what the network saw in the noise at each step, and where it read.

    ``pictures`` are ``(b c *size)`` of each step, given frames included; ``maps`` the last block's
    read attention ``(b m n)`` in half precision; ``grid`` are tokens along time, height and width.
    """

    id: int
    network: str
    grid: tuple[int, ...]
    context: int
    fps: float
    pictures: list[UInt8[Tensor, "b c *size"]] = field(default_factory=list)
    maps: list[Float[Tensor, "b m n"]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(each.nbytes for each in (*self.pictures, *self.maps))

    def describe(self) -> dict[str, object]:
        """What the page has to know of it."""
        shape = self.pictures[-1].shape
        return {
            "id": self.id,
            "network": self.network,
            "samples": shape[0],
            "frames": shape[2] if len(shape) == 5 else 1,
            "height": shape[-2],
            "width": shape[-1],
            "grid": list(self.grid),
            "latents": self.maps[-1].shape[1],
            "context": self.context,
            "fps": self.fps,
            "times": self.times,
        }

    def png(self, step: int) -> bytes:
        """A sheet of all samples at a step: a row each, the frames of a video beside each other."""
        pictures = self._at(self.pictures, step)
        if pictures.ndim == 4:
            pictures = pictures[:, :, None]
        sheet = rearrange(pictures, "b c t h w -> (b h) (t w) c").contiguous().numpy()
        picture = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()

    def reading(self, step: int, sample: int) -> Float[np.ndarray, "m n"]:
        """Each latent's read attention over the tokens, which sums to 1.

        Raises:
            UserError: no such step or sample.
        """
        maps = self._at(self.maps, step)
        if not 0 <= sample < len(maps):
            raise UserError("sample", expected=f"0 to {len(maps) - 1}", got=str(sample))
        return maps[sample].float().numpy()

    def _at(self, steps: list[Tensor], step: int) -> Tensor:
        if not 0 <= step < len(steps):
            raise UserError("step", expected=f"0 to {len(steps) - 1}", got=str(step))
        return steps[step]


class Processes:
    """The latest reverse processes, and the network that was used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._kept: OrderedDict[int, Process] = OrderedDict()
        self._network: tuple[str, Pretrained] | None = None

    def network(self, name: str) -> Pretrained:
        """A network by its name or folder; the last one stays loaded.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        with self._lock:
            if self._network is None or self._network[0] != name:
                self._network = name, inference.load(name)
            return self._network[1]

    def process(self, number: int) -> Process:
        """A process by its number.

        Raises:
            UserError: it is gone, or there never was one.
        """
        with self._lock:
            if number not in self._kept:
                raise UserError(f"process {number} is no longer kept", fix="sample again")
            return self._kept[number]

    def sample(
        self,
        network: str,
        num: int,
        config: SamplingConfig,
        *,
        label: int | None = None,
        given: UInt8[Tensor, "t 3 h w"] | None = None,
    ) -> Iterator[Event]:
        """Sample, an event a step.

        Args:
            network: name or folder.
            num: samples.
            config: how to sample.
            label: class of all samples; None takes the classes in turn.
            given: first frames of a video, for a network that predicts; None shows it moving
                digits.

        Raises:
            UserError: settings or frames that do not fit the network.
        """
        pretrained = self.network(network)
        model = pretrained.model
        classes = None
        if model.num_classes:
            classes = range(model.num_classes) if label is None else [label]
        context = None
        if model.context:
            frames = given if given is not None else moving_digits(pretrained, config.seed)
            first = fit(pretrained, frames)
            context = repeat(first, "c k h w -> b c k h w", b=num)
        states = inference.sample(
            pretrained, num, config, classes=classes, context=context, attend=True
        )
        process = Process(
            id=next(self._numbers),
            network=network,
            grid=tuple(model.grid),
            context=model.context,
            fps=pretrained.fps or 8.0,
        )
        for state in states:
            x0 = state.x0 if context is None else torch.cat([context, state.x0], dim=2)
            process.pictures.append(inference.pictures(pretrained, x0))
            process.maps.append(state.carry.attention[-1].half().cpu())
            process.times.append(round(state.time, 4))
            self._keep(process)
            yield {
                "type": "sampled",
                "process": process.id,
                "step": state.step,
                "done": state.step + 1,
                "total": config.steps,
            }

    def _keep(self, process: Process) -> None:
        with self._lock:
            self._kept[process.id] = process
            while len(self._kept) > 1 and sum(p.size for p in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)


def moving_digits(pretrained: Pretrained, seed: int) -> UInt8[Tensor, "t 3 h w"]:
    """The first frames of a video of digits that were kept from training."""
    model = pretrained.model
    settings = MovingDigitsConfig(num_frames=model.context, size=model.size[1])
    video = MovingDigits(settings, "held_out", seed=seed)[0]["video"]
    return repeat(video, "1 t h w -> t c h w", c=3)


def fit(
    pretrained: Pretrained, frames: UInt8[Tensor, "t 3 h w"]
) -> Float[Tensor, "c k height width"]:
    """Given frames as the network takes them: cropped and resized to its size, scaled.

    Raises:
        UserError: fewer frames than its context.
    """
    height, width = pretrained.model.size[1:]
    return prediction.open_context(
        pretrained, prediction.crop_and_resize(frames, height, width)
    ).to(pretrained.device)

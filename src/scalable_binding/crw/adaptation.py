"""Test-time training: the encoder learns from the very video that it labels."""

from __future__ import annotations

import copy
import math
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor
from torch.nn import functional

from scalable_binding.crw import dense_objective, objective
from scalable_binding.crw.dense_config import DenseWalkConfig
from scalable_binding.crw.dense_views import cut, draw_windows
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.presets import AdaptationConfig
from scalable_binding.nn.precision import has_fast_bfloat16

UNIFORM = 1.5
"""Times the chance of coming home, below which walks count as uniform."""

Frame = UInt8[Tensor, "3 h w"]


class Adapter:
    """A copy of an encoder that goes on learning by Alg. 6; the one given is left untouched.

    One Adam state lasts for the whole video.

    Source: Thesis 3.3.3 and 3.7.9.
    """

    def __init__(self, encoder: Encoder, config: AdaptationConfig) -> None:
        self.encoder = copy.deepcopy(encoder).eval()
        self.config = config
        self._has_begun = False
        self._generator = torch.Generator().manual_seed(config.seed)
        self._optimizer = torch.optim.Adam(self.encoder.parameters(), lr=config.lr)

    def fit(self, window: Sequence[Frame]) -> None:
        """Take the configured number of steps on clips drawn from ``window``.

        Warns once when walks start out as good as uniform, from which nothing is learned.
        """
        if len(window) < 2:
            return
        device = self.encoder.device
        bfloat16 = has_fast_bfloat16(device.type)
        self.encoder.train()
        if self.config.dense is not None:  # whole maps are seen as they are read
            for norm in self.encoder.backbone.norms().values():
                norm.eval()
        for _ in range(self.config.steps):
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss, metrics = self._loss(window, device)
            if not self._has_begun:
                self._warn_if_uniform(float(metrics["loss_1"]))
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        self.encoder.eval()

    def _loss(
        self, window: Sequence[Frame], device: torch.device
    ) -> tuple[Tensor, dict[str, Tensor]]:
        clips, dense = range(self.config.batch_size), self.config.dense
        if dense is None:
            frames = torch.stack([self._clip(window) for _ in clips])
            batch = {"frames": frames.to(device)}
            return objective.loss(self.encoder, batch, self._generator, self.config.walk)
        views = [self._views(window, dense) for _ in clips]
        batch = {name: torch.stack([item[name] for item in views]).to(device) for name in views[0]}
        walk = replace(dense, graph="clip")
        return dense_objective.loss(self.encoder, batch, self._generator, walk)

    def _warn_if_uniform(self, first_loss: float) -> None:
        self._has_begun = True
        walk, dense = self.config.walk, self.config.dense
        stride = self.encoder.backbone.stride
        side = walk.patches.grid if walk.nodes == "patches" else walk.views.size // stride
        if dense is not None:
            side = dense.view // stride // dense.pool
        returned, chance = math.exp(-first_loss), 1 / side**2
        if returned < UNIFORM * chance:
            name = "walk.temperature" if dense is None else "dense.temperature"
            warnings.warn(
                f"walks start out uniform: {returned:.2g} of them come home, {chance:.2g} by "
                f"chance; lower {name}",
                stacklevel=4,
            )

    def _views(self, window: Sequence[Frame], config: DenseWalkConfig) -> dict[str, Tensor]:
        """One item of the dense walk, cut out of frames at the scale at which they are read."""
        frames = self._choose(window)
        size = [round(side * self.encoder.reader.scale) for side in frames.shape[-2:]]
        small = functional.interpolate(frames, size, mode="bilinear", antialias=True)
        tour = torch.cat([small, small[:1]])
        boxes = draw_windows(len(tour), size[0], size[1], config, self._generator)
        return {"views": cut(tour, boxes, config.view), "windows": boxes.float()}

    def _clip(self, window: Sequence[Frame]) -> UInt8[Tensor, "t 3 h2 w2"]:
        """Frames from the window, in one place."""
        return _cut(self._choose(window), self.config.crop, self._generator)

    def _choose(self, window: Sequence[Frame]) -> UInt8[Tensor, "t 3 h w"]:
        """Frames from the window, evenly apart, in either direction of time."""
        size = min(self.config.num_frames, len(window))
        stride = self._draw(1, (len(window) - 1) // (size - 1) + 1)
        first = self._draw(0, len(window) - stride * (size - 1))
        chosen = [window[first + stride * step] for step in range(size)]
        if self._draw(0, 2):
            chosen.reverse()
        return torch.stack(chosen)

    def _draw(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=self._generator))


def windows(frames: Iterable[Frame], reach: int) -> Iterator[tuple[Frame, list[Frame]]]:
    """Each frame with the up to ``2 reach + 1`` frames around it; reads ``reach`` frames ahead."""
    ahead: deque[Frame] = deque()
    behind: deque[Frame] = deque(maxlen=reach)
    source = iter(frames)
    ended = False
    while True:
        while not ended and len(ahead) <= reach:
            following = next(source, None)
            if following is None:
                ended = True
            else:
                ahead.append(following)
        if not ahead:
            return
        yield ahead[0], [*behind, *ahead]
        behind.append(ahead.popleft())


def _cut(
    frames: UInt8[Tensor, "t 3 h w"], side: int | None, generator: Generator
) -> UInt8[Tensor, "t 3 h2 w2"]:
    """A random square of ``side`` pixels, as large as the frames allow; all of them for None."""
    if side is None:
        return frames
    height, width = min(side, frames.shape[-2]), min(side, frames.shape[-1])
    top, left = (
        int(torch.randint(0, room + 1, (), generator=generator))
        for room in (frames.shape[-2] - height, frames.shape[-1] - width)
    )
    return frames[..., top : top + height, left : left + width]

"""Test-time training: the encoder learns from the very video that it labels."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor

from scalable_binding.crw import objective
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.presets import AdaptationConfig
from scalable_binding.nn.precision import has_fast_bfloat16

Frame = UInt8[Tensor, "3 h w"]


class Adapter:
    """A copy of an encoder that goes on learning by Alg. 6; the one given is left untouched.

    One Adam state lasts for the whole video.

    Source: Thesis 3.3.3 and 3.7.9.
    """

    def __init__(self, encoder: Encoder, config: AdaptationConfig) -> None:
        self.encoder = copy.deepcopy(encoder).eval()
        self.config = config
        self._generator = torch.Generator().manual_seed(config.seed)
        self._optimizer = torch.optim.Adam(self.encoder.parameters(), lr=config.lr)

    def fit(self, window: Sequence[Frame]) -> None:
        """Take the configured number of steps on clips drawn from ``window``."""
        if len(window) < 2:
            return
        device = self.encoder.device
        bfloat16 = has_fast_bfloat16(device.type)
        self.encoder.train()
        for _ in range(self.config.steps):
            frames = torch.stack([self._clip(window) for _ in range(self.config.batch_size)])
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                batch = {"frames": frames.to(device)}
                loss, _ = objective.loss(self.encoder, batch, self._generator, self.config.walk)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
        self.encoder.eval()

    def _clip(self, window: Sequence[Frame]) -> UInt8[Tensor, "t 3 h2 w2"]:
        """Frames from the window, evenly apart, in one place and either direction of time."""
        size = min(self.config.num_frames, len(window))
        stride = self._draw(1, (len(window) - 1) // (size - 1) + 1)
        first = self._draw(0, len(window) - stride * (size - 1))
        chosen = [window[first + stride * step] for step in range(size)]
        if self._draw(0, 2):
            chosen.reverse()
        return _cut(torch.stack(chosen), self.config.crop, self._generator)

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

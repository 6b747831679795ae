"""Random generators as functions of a seed and of where in the run they are used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive(seed: int, *keys: int) -> int:
    """A seed of 63 bits for the place ``keys``, as good as independent of that of any other place.

    Zeros at the end do not count: (3, 0) is the same place as (3).

    Args:
        seed: of the whole run, at least 0.
        keys: whole numbers of at least 0, such as the step and the index of an example.
    """
    high, low = np.random.SeedSequence([seed, *keys]).generate_state(2)
    return (int(high) << 32 | int(low)) >> 1


def generator(seed: int, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for the place ``keys`` of the run ``seed``; see :func:`derive`."""
    return torch.Generator(device).manual_seed(derive(seed, *keys))


@contextmanager
def isolated(seed: int, device: torch.device) -> Iterator[None]:
    """A scope in which torch's global generators start from ``seed``, put back on leaving.

    Layers such as ``torch.nn.Dropout`` draw from global state and take no generator; inside this
    scope what they draw is a function of the seed alone, and outside nothing has changed.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield

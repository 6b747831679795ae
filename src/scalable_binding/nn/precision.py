"""Mixed precision: where bfloat16 is fast, and scopes without autocast."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch

_CHOSEN: ContextVar[bool | None] = ContextVar("bfloat16", default=None)


@contextmanager
def bfloat16(choice: bool | None) -> Iterator[None]:
    """A scope in which matrix products of inference are in bfloat16, or are not, as chosen.

    None leaves the choice to what the device is fast at.
    """
    before = _CHOSEN.set(choice)
    try:
        yield
    finally:
        _CHOSEN.reset(before)


def has_fast_bfloat16(device_type: str) -> bool:
    """Whether a device multiplies bfloat16 matrices faster than float32 ones.

    Within :func:`bfloat16` it is what was chosen there.
    """
    chosen = _CHOSEN.get()
    return _has_fast_bfloat16(device_type) if chosen is None else chosen


@functools.cache
def _has_fast_bfloat16(device_type: str) -> bool:
    """True for CUDA cards that know the format and for CPUs with AVX512-BF16 or AMX; elsewhere
    bfloat16 is emulated, which costs precision and gains nothing.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """A scope in which operations keep the precision of what they are given."""
    if device_type == "meta":
        return nullcontext()
    return torch.autocast(device_type, enabled=False)

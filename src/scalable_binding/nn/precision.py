"""Mixed precision: where bfloat16 is fast, and scopes without autocast."""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


@functools.cache
def has_fast_bfloat16(device_type: str) -> bool:
    """Whether a device multiplies bfloat16 matrices faster than float32 ones.

    True for CUDA cards that know the format and for CPUs with AVX512-BF16 or AMX; elsewhere
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

"""bfloat16 is used where the processor multiplies it, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scalable_binding.nn.precision import _has_fast_bfloat16, has_fast_bfloat16


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    _has_fast_bfloat16.cache_clear()
    yield
    _has_fast_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_a_processor_says_what_it_can(
    capabilities: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_fast_bfloat16("cpu") is fast


@pytest.mark.parametrize("native", [True, False])
def test_emulation_on_a_card_does_not_count(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def supported(including_emulation: bool = True) -> bool:
        asked["emulation"] = including_emulation
        return native

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_fast_bfloat16("cuda") is native
    assert asked == {"emulation": False}


def test_without_an_answer_float32_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert has_fast_bfloat16("cpu") is False
    assert has_fast_bfloat16("mps") is False

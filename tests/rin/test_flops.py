"""Parameters and cost: Table 2.4, and the same by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from scalable_binding.rin import flops, presets
from scalable_binding.rin.config import ModelConfig
from scalable_binding.rin.flops import Count, Row
from scalable_binding.rin.model import RIN

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rin.json").read_text())


def by_hand(s: ModelConfig) -> int:
    """The multiply-adds of one example, layer by layer."""
    n = math.prod(side // cut for side, cut in zip(s.size, s.patch, strict=True))
    m, d, e = s.num_latents, s.latent_width, s.interface_width
    narrow, values = min(d, e), s.channels * math.prod(s.patch)

    def cross(queries: int, width: int, keys: int, context: int) -> int:
        products = queries * width * narrow + 2 * keys * context * narrow
        return products + 2 * queries * keys * narrow + queries * narrow * width

    def ffn(tokens: int, width: int, expansion: int) -> int:
        return 2 * tokens * expansion * width * width

    layer = 4 * m * d * d + 2 * m * m * d + ffn(m, d, s.latent_expansion)
    block = cross(m, d, n, e) + ffn(m, d, s.latent_expansion) + s.num_layers * layer
    block += cross(n, e, m, d) + ffn(n, e, s.interface_expansion)
    generated = n - s.context // s.patch[0] * (n // (s.size[0] // s.patch[0]))
    ends = n * values * e + generated * e * values + ffn(m, d, s.latent_expansion)
    conditions = d // 4 * d + d * d + s.num_classes * d
    return s.num_blocks * block + ends + conditions


@pytest.mark.parametrize("preset", [row[0] for row in flops.ROWS])
def test_parameters_are_those_of_the_thesis_where_they_can_be(preset: str) -> None:
    with torch.device("meta"):
        network = RIN(**flops.to_mapping(getattr(presets, preset)().model))
    found = sum(parameter.numel() for parameter in network.parameters())
    if preset in GOLDEN["exact_parameters"]:
        assert found == GOLDEN["exact_parameters"][preset]
        row = next(row for row in flops.ROWS if row[0] == preset)
        assert abs(found / 1e6 - row[2]) < 1
    else:
        printed = GOLDEN["table_2_4"][preset]["parameters_m"]
        assert 13 < printed - found / 1e6 < 28


@pytest.mark.parametrize("preset", ["digits", "moving_digits"])
def test_what_is_counted_in_the_network_is_what_one_counts_by_hand(preset: str) -> None:
    config = getattr(presets, preset)().model
    assert flops.count(config).multiply_adds == by_hand(config)


@pytest.mark.parametrize("preset", list(GOLDEN["multiply_adds_g"]))
def test_multiply_adds_of_the_table(preset: str) -> None:
    found = by_hand(getattr(presets, preset)().model) / 1e9
    assert round(found, 1) == GOLDEN["multiply_adds_g"][preset]


def test_rows_are_the_thesis() -> None:
    for preset, _, parameters, gflops in flops.ROWS:
        if preset in GOLDEN["table_2_4"]:
            golden = GOLDEN["table_2_4"][preset]
            assert (parameters, gflops) == (golden["parameters_m"], golden["gflops"])


def test_a_row_compares() -> None:
    counted = Count(parameters=300_500_000, multiply_adds=2_000_000_000)
    row = Row(preset="x", task="X", count=counted, thesis_parameters=301.0, thesis_gflops=None)
    assert row.parameters == 300.5 and row.difference == 0.5 and row.gflops == 4.0

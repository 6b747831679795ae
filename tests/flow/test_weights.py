"""The network that ships: small, described, and better than what needs no learning."""

from __future__ import annotations

import json

import pytest
import torch

from scalable_binding.flow import benchmarks, model
from scalable_binding.flow.inference import estimate
from scalable_binding.metrics import flow as metrics


def test_the_network_is_small_and_says_where_it_comes_from() -> None:
    files = {path.name: path.stat().st_size for path in model.SHIPPED.iterdir()}
    assert files.keys() == {
        "README.md",
        "SHA256SUMS",
        "card.json",
        "config.json",
        "model.safetensors",
    }
    assert sum(files.values()) < 4_000_000
    card = json.loads((model.SHIPPED / "card.json").read_text())
    assert {"data", "license", "command", "commit", "steps"} <= card.keys()


@pytest.mark.slow
def test_on_held_out_scenes_it_beats_no_motion_and_untrained_features() -> None:
    examples = [make() for make in benchmarks.synthetic()[:6]]
    net = model.load("shipped")
    fresh = model.draw(0, **net.arguments).eval()

    def error(flows: list[torch.Tensor]) -> float:
        pairs = zip(flows, examples, strict=True)
        return metrics.pooled([metrics.tally(flow, one.flow) for flow, one in pairs])["epe"]

    found, untrained = (
        error([estimate(one.first, one.second, network, refine=False).flow for one in examples])
        for network in (net, fresh)
    )
    still = error([torch.zeros_like(one.flow) for one in examples])
    assert found < 0.85 * still
    assert found < 0.6 * untrained
    refined = error([estimate(one.first, one.second, net).flow for one in examples])
    assert refined < 0.45 * still

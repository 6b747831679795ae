"""The networks that ship: described, and better than what needs no learning."""

from __future__ import annotations

import json

import pytest
import torch

from scalable_binding.rin import attention, evaluate, inference, pretrained
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.sampling_config import SamplingConfig

FEW_STEPS = SamplingConfig(sampler="dpmpp_2m", steps=10)


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_they_are_small_and_say_where_they_come_from(name: str) -> None:
    folder = pretrained.SHIPPED / pretrained.NAMES[name]
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert files.keys() == {
        "README.md",
        "SHA256SUMS",
        "card.json",
        "config.json",
        "model.safetensors",
    }
    assert sum(files.values()) < 6_000_000
    card = json.loads((folder / "card.json").read_text())
    assert {"name", "data", "license", "command", "commit", "score"} <= card.keys()


def test_digits_show_the_class_that_was_asked_for() -> None:
    found = evaluate.evaluate("digits", (), EvaluationConfig(num=100), FEW_STEPS)
    assert found["scores"]["class_accuracy"] > 0.9
    assert found["scores"]["frechet"] < 20


def test_predicted_frames_beat_repeated_and_extrapolated_ones() -> None:
    found = evaluate.evaluate("moving-digits", (), EvaluationConfig(num=72), FEW_STEPS)
    predicted, *others = found["forecasts"].values()
    assert len(others) == 2
    for simple in others:
        assert predicted["mse"] < 0.6 * simple["mse"]
        assert predicted["frechet_video"] < simple["frechet_video"]


def test_the_last_block_reads_what_moves() -> None:
    network = inference.load("moving-digits")
    videos = evaluate.open_held_out("moving-digits", network, ())
    given = torch.stack([videos[index]["video"] for index in range(8)])
    context = 2 * given[:, :, : network.model.context].float() / 255 - 1
    reading = attention.read(network, len(given), FEW_STEPS, context=context)
    assert reading.concentration[:, -1].nanmean() > 1.5

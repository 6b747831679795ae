"""The tracker that ships: it loads, and it follows what is hidden better than who stays put."""

from __future__ import annotations

import json

import pytest

from scalable_binding.permanence import evaluate
from scalable_binding.permanence.inference import SHIPPED, load


def test_it_loads_and_says_where_it_comes_from() -> None:
    model = load()
    assert model.recurrent is not None and not model.training
    card = json.loads((SHIPPED / "card.json").read_text())
    assert {"name", "data", "licence", "command", "commit", "steps"} <= card.keys()


@pytest.mark.slow
def test_hidden_things_are_found_nearer_than_where_they_were_seen_last() -> None:
    cases = list(evaluate.synthetic_cases(4, size=load().side, seed=7))
    scores = evaluate.evaluate("shipped", cases)["scores"]
    hidden = {name: found["distance"]["all"]["hidden"] for name, found in scores.items()}
    assert hidden["model, told"] < hidden["last seen"]
    assert hidden["model, told"] < hidden["constant velocity"]

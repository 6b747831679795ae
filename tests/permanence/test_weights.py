"""The tracker that ships: it loads and works. How well is measured in benchmarks/permanence."""

from __future__ import annotations

import json

from scalable_binding.permanence import evaluate
from scalable_binding.permanence.inference import SHIPPED, load


def test_it_loads_and_says_where_it_comes_from() -> None:
    model = load()
    assert model.recurrent is not None and not model.training
    card = json.loads((SHIPPED / "card.json").read_text())
    assert {"name", "data", "license", "command", "commit", "steps"} <= card.keys()


def test_it_follows_a_game_and_stays_in_the_frame() -> None:
    model = load()
    case = next(evaluate.synthetic_cases(1, size=model.side))
    found = evaluate.follow(model, case)
    assert found.shape == case.boxes.shape and bool(found.isfinite().all())
    middle = (found[..., :2] + found[..., 2:]) / 2
    assert float(middle.min()) > -8 and float(middle.max()) < model.side + 8

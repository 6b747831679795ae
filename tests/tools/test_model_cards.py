"""Every shipped model has a model card that tells what its card.json tells."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARDS = sorted((ROOT / "src/scalable_binding/weights").glob("*/card.json"))

_spec = importlib.util.spec_from_file_location("model_cards", ROOT / "tools" / "model_cards.py")
assert _spec is not None and _spec.loader is not None
model_cards = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(model_cards)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_model_card_is_up_to_date(path: Path) -> None:
    expected = model_cards.render(path.parent.name, json.loads(path.read_text(encoding="utf-8")))
    found = path.with_name("README.md").read_text(encoding="utf-8")
    assert found == expected, "run: python tools/model_cards.py"


def test_every_description_belongs_to_a_model() -> None:
    assert {path.parent.name for path in CARDS} == set(model_cards.ABOUT)

"""The field's words occur in the source, where a reader would search for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scalable_binding

ROOT = Path(scalable_binding.__file__).parent
WORDS = [
    "GAE",
    "PCA",
    "vectorized environment",
    "gradient clipping",
    "running mean",
    "callback",
    "hidden state",
    "classifier-free guidance",
    "cosine schedule",
]
GONE = ["learner", "equalise", "clip_norm", "catalogue", "optimiser", "normalise"]


@pytest.mark.parametrize("word", WORDS)
def test_the_standard_term_is_found(word: str) -> None:
    pattern = re.compile(re.escape(word).replace(r"\ ", r"\s+"), re.IGNORECASE)
    assert [path for path in ROOT.rglob("*.py") if pattern.search(path.read_text("utf-8"))]


@pytest.mark.parametrize("word", GONE)
def test_the_old_word_is_gone(word: str) -> None:
    pattern = re.compile(rf"\b{word}\b", re.IGNORECASE)
    assert not [path for path in ROOT.rglob("*.py") if pattern.search(path.read_text("utf-8"))]

"""Agents that come with the package do what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scalable_binding import weights
from scalable_binding.carml import evaluate, inference, model
from scalable_binding.carml.model import Policy
from scalable_binding.carml.round_files import list_rounds

AGENTS = [weights.folder("carml", name) for name in weights.names("carml")]


def test_some_come() -> None:
    assert AGENTS


@pytest.mark.parametrize("folder", AGENTS, ids=lambda folder: folder.name)
def test_they_are_read_as_a_run_and_by_the_hub_s_loader(folder: Path) -> None:
    ours, theirs = inference.load(folder), Policy.from_pretrained(folder)
    assert model.arguments(ours) == model.arguments(theirs)
    weights = theirs.state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in ours.state_dict().items())
    assert len(list_rounds(folder)) == 2
    assert sum(file.stat().st_size for file in folder.rglob("*.*")) < 4e6


@pytest.mark.slow
@pytest.mark.parametrize("folder", AGENTS, ids=lambda folder: folder.name)
def test_they_reach_what_their_cards_say(folder: Path) -> None:
    """Other tasks and other draws than the card's, so within what chance allows."""
    score = json.loads((folder / "card.json").read_text())["score"]
    config, policy = inference.read_config(folder), inference.load(folder)
    found = evaluate.transfer(policy, config, num_tasks=200, seed=5).success[-1]
    assert found.mean == pytest.approx(float(score["episode 4"]), abs=0.13)
    blind = evaluate.transfer(evaluate.untrained(policy), config, num_tasks=200, seed=5)
    assert found.mean > blind.success[-1].mean

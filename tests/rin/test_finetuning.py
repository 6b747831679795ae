"""Fine-tuning: what a trained network hands to one of another size or of other classes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rin import untrained
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.errors import UserError
from scalable_binding.rin import finetuning, inference, model, train
from scalable_binding.rin.presets import debug


def test_with_nothing_changed_the_network_is_the_same() -> None:
    source = untrained.images()
    network = model.init_model(7, **to_mapping(source.model.settings))
    told = finetuning.load_weights(network, source)
    assert not told["fresh"]
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, source.model.state_dict()[name]), name


def test_positions_are_interpolated_to_another_size() -> None:
    source = untrained.images()
    rows = torch.arange(4.0)[:, None, None].expand(4, 4, 8).reshape(16, 8)
    source.model.embedding.positions.data = rows.clone()
    network = model.init_model(7, **to_mapping(replace(source.model.settings, size=(16, 8))))
    told = finetuning.load_weights(network, source)
    assert "embedding.positions" in told["adapted"]
    found = network.embedding.positions.view(8, 4, 8)[:, 0, 0]
    torch.testing.assert_close(found[1:-1], torch.linspace(0.25, 2.75, 6))
    x = torch.randn(1, 1, 16, 8, generator=torch.Generator().manual_seed(0))
    assert network(x, torch.tensor([0.5])).prediction.shape == x.shape


def test_classes_are_exchanged_by_name() -> None:
    source = replace(untrained.images(num_classes=3), classes=("ant", "bee", "cat"))
    network = model.init_model(7, **to_mapping(replace(source.model.settings, num_classes=2)))
    before = network.label.project.weight.clone()
    finetuning.load_weights(network, source, ("dog", "cat"))
    found, old = network.label.project.weight, source.model.label.project.weight
    assert torch.equal(found[:, 1], old[:, 2]) and torch.equal(found[:, 0], before[:, 0])


def test_other_networks_are_refused() -> None:
    source = untrained.images()
    wider = model.init_model(7, **to_mapping(replace(source.model.settings, interface_width=16)))
    with pytest.raises(UserError, match=r"model.interface_width of a network to fine-tune: exp"):
        finetuning.load_weights(wider, source)


def test_a_run_starts_from_another_one(tmp_path) -> None:
    source = untrained.images()
    changes = {"fit.steps": "1", "fit.optimizer.lr": "0", "fit.progress": "false"}
    changes |= {"sample_every": "0", "validate_every": "0"}
    config = override(finetuning.starting_from(debug(), source), changes)
    train.train(config, [], tmp_path / "run", initial=source)
    loaded = inference.load(tmp_path / "run").model.state_dict()
    for name, tensor in source.model.state_dict().items():
        torch.testing.assert_close(loaded[name], tensor)

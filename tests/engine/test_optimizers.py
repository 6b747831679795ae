import pytest
import torch
from torch import nn

from engine.toy import net
from scalable_binding.engine import optimizers
from scalable_binding.engine.fit_config import OptimizerConfig
from scalable_binding.engine.lamb import Lamb


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("lamb", Lamb)]
)
def test_biases_and_norms_are_neither_decayed_nor_adapted(name: str, kind: type) -> None:
    model = net()
    optimizer = optimizers.build(model, OptimizerConfig(name=name, weight_decay=0.3))
    assert type(optimizer) is kind
    matrices, vectors = optimizer.param_groups
    assert matrices["weight_decay"] == 0.3 and vectors["weight_decay"] == 0
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    if name == "lamb":
        assert matrices["adapt"] and not vectors["adapt"]


def test_declared_slices_reach_their_parameters() -> None:
    model = nn.ModuleDict({"net": net(), "attention": nn.MultiheadAttention(4, 2)})
    slices = optimizers.build(model, OptimizerConfig(name="lamb")).param_groups[0]["slices"]
    matrices = [name for name, p in model.named_parameters() if p.ndim == 2]
    fused = {name for name, count in zip(matrices, slices, strict=True) if count == 3}
    assert fused == {
        "net.blocks.0.qkv.weight",
        "net.blocks.1.qkv.weight",
        "attention.in_proj_weight",
    }


@pytest.mark.parametrize("name", ["adam", "adamw", "lamb"])
def test_state_allocated_ahead_changes_no_step(name: str) -> None:
    config = OptimizerConfig(name=name, lr=0.1)
    ahead, lazy = net().eval(), net().eval()
    first, second = optimizers.build(ahead, config), optimizers.build(lazy, config)
    second.state.clear()
    for model, optimizer in ((ahead, first), (lazy, second)):
        for _ in range(3):
            model(torch.ones(4, 6)).square().sum().backward()
            optimizer.step()
    for moved, expected in zip(ahead.parameters(), lazy.parameters(), strict=True):
        assert torch.equal(moved, expected)
    assert optimizers.state_tensors(first, ahead).keys() == {
        f"{name}.{kind}"
        for name, _ in ahead.named_parameters()
        for kind in ("step", "exp_avg", "exp_avg_sq")
    }


def test_frozen_parameters_have_no_state() -> None:
    model = net()
    model.stem.requires_grad_(False)
    optimizer = optimizers.build(model, OptimizerConfig())
    assert not any(k.startswith("stem") for k in optimizers.state_tensors(optimizer, model))

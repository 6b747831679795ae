import pytest
import torch
from torch import nn

from engine.toy import net
from scalable_binding.engine.ema import Ema, decay_at, named_tensors
from scalable_binding.engine.fit_config import EmaConfig


def test_the_average_of_weights_and_buffers_is_the_recursion() -> None:
    model = net()
    ema = Ema(model, EmaConfig(decay=0.9, warm_up=False))
    expected = {name: t.clone() for name, t in named_tensors(model).items()}
    for step in range(1, 5):
        with torch.no_grad():
            for tensor in named_tensors(model).values():
                tensor.add_(step)
        ema.update(model, step)
        for name, tensor in named_tensors(model).items():
            averaged = 0.9 * expected[name] + 0.1 * tensor
            expected[name] = averaged if tensor.is_floating_point() else tensor.clone()
    for name, tensor in ema.whole().items():
        torch.testing.assert_close(tensor, expected[name])
    assert "norm.running_mean" in expected


def test_warm_up_forgets_the_start() -> None:
    config = EmaConfig(decay=0.9999)
    assert decay_at(1, config) == pytest.approx(2 / 11)
    assert decay_at(10**6, config) == 0.9999
    assert decay_at(1, EmaConfig(decay=0.5, warm_up=False)) == 0.5


def test_no_decay_keeps_the_last_weights() -> None:
    model = net()
    ema = Ema(model, EmaConfig(decay=0.0))
    nn.init.constant_(model.head.weight, 3.0)
    ema.update(model, 1)
    assert torch.equal(ema.tensors["head.weight"], model.head.weight)


def test_tied_weights_are_averaged_once() -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    assert [*named_tensors(model)] == ["a.weight", "a.bias", "b.bias"]

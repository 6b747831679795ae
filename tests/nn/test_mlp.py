"""Feed-forward networks and dropped paths."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scalable_binding.nn.mlp import DropPath, FeedForward


def test_a_feed_forward_network_is_its_equation() -> None:
    network = FeedForward(4, 3)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    centered = x - x.mean(dim=-1, keepdim=True)
    normed = centered / (centered.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
    hidden = normed @ network.expand.weight.mT
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    torch.testing.assert_close(network(x), hidden @ network.contract.weight.mT)


def test_gradients_are_those_of_the_equation_with_hidden_channels_kept_once() -> None:
    network = FeedForward(4, 3).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found = network(x)
    assert sum(numel == 2 * 5 * 12 for numel in kept.values()) == 1
    inputs = [x, *network.parameters()]
    hidden = functional.gelu(network.expand(network.norm(x)))
    goal = torch.randn(2, 5, 4, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad((network.contract(hidden) * goal).sum(), inputs)
    for one, other in zip(torch.autograd.grad((found * goal).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(one, other)


def test_hidden_channels_are_dropped_in_training_alone() -> None:
    network = FeedForward(4, 3, dropout=0.5)
    x = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_a_path_is_dropped_for_whole_examples_and_keeps_its_mean() -> None:
    torch.manual_seed(0)
    branch = torch.full((4000, 3, 2), 2.0)
    ratio = DropPath(0.25).train()(branch) / branch
    assert torch.equal(ratio, ratio[:, :1, :1].expand_as(ratio))
    values = ratio[:, 0, 0]
    dropped = values == 0
    assert torch.allclose(values[~dropped], torch.tensor(4 / 3))
    assert abs(float(dropped.float().mean()) - 0.25) < 0.03
    assert torch.equal(DropPath(0.25).eval()(branch), branch)
    assert torch.equal(DropPath(0.0).train()(branch), branch)

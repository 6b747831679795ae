import math

import pytest
import torch

from reference import walk as reference
from scalable_binding.walk.losses import cycle_losses, walk_loss


def walks(b, n, m, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, n, m, generator=generator, dtype=dtype).softmax(-1)


def test_walk_loss_equals_the_loop():
    walk = walks(1, 6, 4)
    targets = torch.tensor([[0, 3, -1, 2, 1, -1]])
    result = walk_loss(walk, targets)
    loss, accuracy = reference.walk_loss(walk[0], targets[0])
    assert result.loss.item() == pytest.approx(loss)
    assert result.accuracy.item() == pytest.approx(accuracy)


def test_ignored_nodes_get_no_gradient():
    walk = walks(2, 3, 3).requires_grad_()
    walk_loss(walk, torch.tensor([[0, -1, 2], [-1, -1, 1]])).loss.backward()
    assert walk.grad is not None
    assert torch.all(walk.grad[0, 1] == 0) and torch.all(walk.grad[1, :2] == 0)
    assert torch.all(walk.grad[0, 2, 2] < 0)


def test_a_batch_without_targets_costs_nothing():
    result = walk_loss(walks(2, 3, 3), torch.full((2, 3), -1))
    assert result.loss.item() == 0 and result.accuracy.item() == 0


def test_targets_are_the_nodes_themselves_by_default():
    returns = [walks(2, 5, 5, seed=k) for k in range(3)]
    identity = torch.arange(5).expand(2, 5)
    result = cycle_losses(returns)
    for k, walk in enumerate(returns):
        expected = walk_loss(walk, identity)
        torch.testing.assert_close(result.losses[k], expected.loss)
        torch.testing.assert_close(result.accuracies[k], expected.accuracy)


def test_home_scores_nothing_and_chance_scores_log_n():
    result = cycle_losses([torch.eye(8).unsqueeze(0), torch.full((1, 8, 8), 1 / 8)])
    assert result.losses[0].item() == pytest.approx(0, abs=1e-6)
    assert result.accuracies[0].item() == 1
    assert result.losses[1].item() == pytest.approx(math.log(8), rel=1e-5)


def test_a_lost_walker_costs_a_bounded_loss_with_a_finite_gradient():
    walk = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]], requires_grad=True)
    loss = cycle_losses([walk]).losses.mean()
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-20) / 2, rel=1e-5)
    assert walk.grad is not None and torch.isfinite(walk.grad).all()


def test_loss_is_float32_within_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = cycle_losses([walks(1, 4, 4).bfloat16()])
    assert result.losses.dtype == torch.float32


def test_bad_targets_are_named():
    with pytest.raises(ValueError, match="from -1 to 2, got 0 to 3"):
        walk_loss(walks(1, 2, 3), torch.tensor([[0, 3]]))


def test_no_walks_are_refused():
    with pytest.raises(ValueError, match="returns"):
        cycle_losses([])

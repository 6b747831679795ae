import pytest
import torch
from torch.nn.functional import normalize

from reference import walk as reference
from scalable_binding.walk.affinity import similarity, transition


def features(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=-1)


def test_transition_equals_the_loop():
    a, b = features(2, 5, 8, dtype=torch.float64), features(2, 7, 8, seed=1, dtype=torch.float64)
    result = transition(similarity(a, b), temperature=0.07)
    for i in range(2):
        torch.testing.assert_close(result[i], reference.transition(a[i], b[i], 0.07))


@pytest.mark.parametrize("edge_dropout", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("temperature", [1e-3, 0.07, 10.0])
def test_rows_sum_to_one(temperature, edge_dropout):
    step = transition(
        similarity(features(3, 6, 4), features(3, 9, 4, seed=1)),
        temperature,
        edge_dropout,
        torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(step.sum(-1), torch.ones(3, 6))


def test_backward_step_is_the_softmax_of_the_transpose():
    a, b = features(1, 5, 8), features(1, 7, 8, seed=1)
    torch.testing.assert_close(
        transition(similarity(a, b).mT, 0.1), transition(similarity(b, a), 0.1)
    )


def test_dropout_is_reproducible_and_draws_anew_for_each_call():
    edges = torch.zeros(1, 40, 40)
    first, second = (torch.Generator().manual_seed(5) for _ in range(2))
    once = transition(edges, 0.1, 0.3, first)
    torch.testing.assert_close(once, transition(edges, 0.1, 0.3, second), rtol=0, atol=0)
    assert not torch.equal(once, transition(edges, 0.1, 0.3, first))


def test_dropped_edges_have_no_probability_and_no_gradient():
    edges = torch.zeros(1, 50, 50, requires_grad=True)
    step = transition(edges, 0.1, 0.3, torch.Generator().manual_seed(0))
    dropped = step.detach() == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.03)
    step.square().sum().backward()
    assert edges.grad is not None and torch.all(edges.grad[dropped] == 0)


def test_dropout_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    transition(torch.zeros(1, 4, 4), 0.1, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("temperature", "edge_dropout", "named"),
    [(0.0, 0.0, "temperature"), (-1.0, 0.0, "temperature"), (0.1, 1.0, "edge_dropout")],
)
def test_options_out_of_range_are_named(temperature, edge_dropout, named):
    with pytest.raises(ValueError, match=named):
        transition(torch.zeros(1, 2, 2), temperature, edge_dropout, torch.Generator())


def test_dropout_needs_a_generator():
    with pytest.raises(ValueError, match="Generator"):
        transition(torch.zeros(1, 2, 2), 0.1, 0.5)

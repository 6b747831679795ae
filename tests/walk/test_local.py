import pytest
import torch
from torch.nn.functional import normalize

from reference import local as reference
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.local import (
    _compare_all,
    _compare_in_turn,
    local_affinity,
    local_step,
    local_windows,
    window_offsets,
)


def maps(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, generator=generator, dtype=dtype), dim=1)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 5)])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_equals_the_loop(size, radius):
    a, b = maps(2, 4, *size), maps(2, 4, *size, seed=1)
    result = local_affinity(a, b, radius, 0.1)
    for i in range(2):
        torch.testing.assert_close(
            result[i], reference.local_affinity(a[i], b[i], radius, 0.1), atol=1e-6, rtol=1e-6
        )


def test_rows_sum_to_one_and_nothing_leaves_the_image():
    step = local_affinity(maps(1, 4, 5, 8), maps(1, 4, 5, 8, seed=1), 2, 0.05)
    torch.testing.assert_close(step.sum(-1), torch.ones(1, 5, 8, dtype=torch.float64))
    outside = local_windows(torch.ones(1, 1, 5, 8), 2)[:, 0] == 0
    assert torch.all(step[outside] == 0) and torch.all(step[~outside] > 0)


def test_a_window_that_covers_the_image_equals_the_full_softmax():
    h, w, radius = 4, 5, 4
    a, b = maps(1, 8, h, w), maps(1, 8, h, w, seed=1)
    full = transition(similarity(a.flatten(2).mT, b.flatten(2).mT), 0.1)
    local = local_affinity(a, b, radius, 0.1)
    for y in range(h):
        for x in range(w):
            window = local[0, y, x].view(2 * radius + 1, -1)
            top, left = radius - y, radius - x
            part = window[top : top + h, left : left + w].flatten()
            torch.testing.assert_close(part, full[0, y * w + x], atol=1e-6, rtol=0)


def test_the_expected_displacement_of_a_shift_is_the_shift():
    a = maps(1, 64, 12, 14)
    b = a.roll((2, -1), dims=(2, 3))
    flow = local_affinity(a, b, 3, 0.01).float() @ window_offsets(3)
    expected = torch.tensor([-1.0, 2.0]).expand(1, 6, 6, 2)
    torch.testing.assert_close(flow[:, 3:9, 4:10], expected, atol=1e-3, rtol=0)


def test_gradients_are_right():
    a, b = maps(1, 3, 3, 4).requires_grad_(), maps(1, 3, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: local_affinity(a, b, 1, 0.5), (a, b))


def test_gradients_are_finite_at_a_low_temperature():
    a = maps(1, 8, 5, 6, dtype=torch.float32).requires_grad_()
    local_affinity(a, a.detach().flip(3), 2, 1e-3).square().sum().backward()
    assert a.grad is not None and torch.isfinite(a.grad).all()


def test_half_precision_features_give_float32_probabilities():
    a = maps(1, 8, 5, 6, dtype=torch.float32).bfloat16()
    assert local_affinity(a, a, 1, 0.1).dtype == torch.float32


@pytest.mark.parametrize(
    ("radius", "temperature", "named"), [(-1, 0.1, "radius"), (1, 0.0, "temperature")]
)
def test_options_out_of_range_are_named(radius, temperature, named):
    with pytest.raises(ValueError, match=named):
        local_affinity(maps(1, 2, 3, 3), maps(1, 2, 3, 3), radius, temperature)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 5), (20, 23)])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_both_ways_to_compare_are_the_same_inside_the_image(size, radius):
    a, b = maps(2, 4, *size), maps(2, 4, *size, seed=1)
    inside = local_windows(torch.ones(1, 1, *size), radius)[0, 0] > 0
    all_at_once, in_turn = _compare_all(a, b, radius), _compare_in_turn(a, b, radius)
    torch.testing.assert_close(all_at_once[:, inside], in_turn[:, inside], atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [(5, 4), (30, 28)], ids=["all at once", "in turn"])
def test_a_large_and_a_small_image_equal_the_loop_and_have_right_gradients(size):
    a, b = maps(1, 3, *size).requires_grad_(), maps(1, 3, *size, seed=1).requires_grad_()
    found = local_affinity(a, b, 1, 0.5)
    expected = reference.local_affinity(a[0].detach(), b[0].detach(), 1, 0.5)
    torch.testing.assert_close(found[0], expected, atol=1e-6, rtol=0)
    assert found.dtype == torch.float64
    weights = torch.rand(found.shape, generator=torch.Generator().manual_seed(3)).double()
    (weights * found).sum().backward()
    again = [x.detach().requires_grad_() for x in (a, b)]
    dense = torch.softmax(dense_logits(*again, 1) / 0.5, dim=-1)
    windows = local_windows(torch.arange(1.0, size[0] * size[1] + 1).view(1, 1, *size), 1)[0, 0]
    places = windows.long().flatten(0, 1) - 1
    picked = dense[0].gather(1, places.clamp(min=0)) * (places >= 0)
    (weights.flatten(0, 2) * picked).sum().backward()
    for mine, theirs in zip((a, b), again, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-10, rtol=0)


def dense_logits(a, b, radius):
    """Similarities (1 n n) of all pixels, -inf outside of the windows."""
    h, w = a.shape[2:]
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack([y.flatten(), x.flatten()], dim=1)
    far = (places[:, None] - places).abs().amax(-1) > radius
    return similarity(a.flatten(2).mT, b.flatten(2).mT).masked_fill(far, -torch.inf)


@pytest.mark.parametrize(("size", "radius"), [((4, 5), 1), ((6, 3), 2), ((3, 3), 4), ((1, 5), 1)])
def test_steps_are_products_with_dense_matrices(size, radius):
    """A walk of three steps, in float64, mass kept to the last bit but rounding."""
    h, w = size
    walkers = torch.rand(2, 3, h, w, generator=torch.Generator().manual_seed(1)).double()
    walkers = walkers / walkers.sum((-2, -1), keepdim=True)
    dense = walkers.flatten(2)
    for seed in range(3):
        a, b = maps(2, 4, h, w, seed=seed), maps(2, 4, h, w, seed=seed + 1)
        walkers = local_step(walkers, local_affinity(a, b, radius, 0.1), radius)
        dense = dense @ torch.softmax(dense_logits(a, b, radius) / 0.1, dim=-1)
        torch.testing.assert_close(walkers.flatten(2), dense, atol=1e-13, rtol=0)
        total = torch.ones(2, 3, dtype=torch.float64)
        torch.testing.assert_close(walkers.sum((-2, -1)), total, atol=1e-13, rtol=0)


def test_a_step_with_another_radius_is_named():
    a = maps(1, 2, 3, 3)
    with pytest.raises(ValueError, match="expected 25 places for radius 2, got 9"):
        local_step(torch.ones(1, 1, 3, 3), local_affinity(a, a, 1, 0.1), 2)

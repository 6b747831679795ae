import pytest
import torch
from torch.nn.functional import normalize

from reference import local as reference
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.local import local_affinity, local_windows, window_offsets


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

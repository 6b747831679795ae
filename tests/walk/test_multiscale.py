from itertools import pairwise

import pytest
import torch
from torch.nn.functional import normalize

from reference import multiscale as reference
from scalable_binding.walk import multiscale
from scalable_binding.walk.affinity import similarity, transition
from scalable_binding.walk.chain import palindromes
from scalable_binding.walk.multiscale import (
    arrival_probability,
    follow,
    grid,
    home_probability,
    window_palindromes,
    window_step,
)

SIZE = (4, 5)


def nodes(seed=0, size=SIZE, b=2, d=6):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(b, size[0] * size[1], d, generator=generator, dtype=torch.float64)
    return normalize(features, dim=-1)


def centers(seed=0, size=SIZE, b=2, far=1):
    """Each pixel's own place, moved by up to ``far`` pixels; some lie outside of the image."""
    generator = torch.Generator().manual_seed(seed)
    own = grid(size).expand(b, -1, -1)
    return own + torch.randint(-far, far + 1, own.shape, generator=generator)


def walk(seed, radius, size=SIZE, far=1):
    step, _ = window_step(nodes(seed), nodes(seed + 1), centers(seed, far=far), size, radius, 0.2)
    return step


@pytest.mark.parametrize("radius", [0, 1, 2])
def test_a_step_equals_the_loop(radius):
    a, b, center = nodes(0), nodes(1), centers(2, far=3)
    found, similarities = window_step(a, b, center, SIZE, radius, 0.2)
    for i in range(len(a)):
        expected = reference.step(a[i], b[i], center[i], SIZE, radius, 0.2)
        torch.testing.assert_close(reference.whole(found)[i], expected, atol=1e-6, rtol=0)
    assert ((similarities == -1) == (found.probability == 0)).all()


@pytest.mark.parametrize("rows", [3, 128])
def test_similarities_are_the_same_with_and_without_a_gradient(rows, monkeypatch):
    monkeypatch.setattr(multiscale, "_ROWS", rows)
    a, b = nodes(0), nodes(1).mT.contiguous().mT
    places, _ = multiscale.window_places(centers(2), 1, SIZE)
    plain = multiscale.window_similarity(a, b, places)
    with_gradient = multiscale.window_similarity(a.requires_grad_(), b, places)
    torch.testing.assert_close(plain, with_gradient)
    with_gradient.sum().backward()
    assert a.grad.isfinite().all()


def test_a_window_that_covers_the_image_equals_full_attention():
    a, b, center = nodes(0), nodes(1), centers(2)
    found, _ = window_step(a, b, center, SIZE, 7, 0.1)
    full = transition(similarity(a, b), 0.1)
    torch.testing.assert_close(reference.whole(found), full, atol=1e-6, rtol=0)
    expected = full @ grid(SIZE).double()
    torch.testing.assert_close(found.expected_place(), expected, atol=1e-5, rtol=0)


def test_walks_in_windows_that_cover_the_image_equal_chains_of_matrices():
    frames = [nodes(seed) for seed in range(4)]
    pairs = list(pairwise(frames))
    forward = [window_step(a, b, centers(3), SIZE, 7, 0.1)[0] for a, b in pairs]
    backward = [window_step(b, a, centers(4), SIZE, 7, 0.1)[0] for a, b in pairs]
    found = window_palindromes(forward, backward)
    expected = palindromes(frames, 0.1)
    assert len(found) == len(expected) == 3
    for ours, full in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, full.diagonal(dim1=1, dim2=2), atol=1e-6, rtol=0)


def test_walkers_may_start_from_some_pixels_only():
    forward, backward = [walk(0, 2), walk(3, 2)], [walk(5, 2), walk(7, 2)]
    starts = torch.tensor([[3, 0, 19], [7, 8, 8]])
    some = window_palindromes(forward, backward, starts)
    for chosen, every in zip(some, window_palindromes(forward, backward), strict=True):
        torch.testing.assert_close(chosen, every.gather(1, starts))


def test_what_leaves_the_window_is_lost_and_nothing_else():
    first, second = walk(0, 1), walk(2, 1)
    exact = reference.whole(first) @ reference.whole(second)
    kept = reference.whole(follow(first, second))
    inside = kept > 0
    torch.testing.assert_close(kept[inside], exact[inside], atol=1e-6, rtol=0)
    assert (kept <= exact + 1e-6).all() and (kept.sum(-1) < 1 - 1e-3).any()


def test_the_probability_of_arrival_is_that_of_the_product_of_steps():
    first, second = walk(0, 1), walk(2, 1)
    target = grid(SIZE).expand(2, -1, -1)
    exact = reference.whole(first) @ reference.whole(second)
    found = arrival_probability(first, second, target)
    torch.testing.assert_close(found.double(), exact.diagonal(dim1=1, dim2=2), atol=1e-6, rtol=0)


def test_home_is_a_pixel_and_its_neighbors():
    first, second = walk(0, 1), walk(2, 1)
    exact = reference.whole(first) @ reference.whole(second)
    places = grid(SIZE)
    near = (places[:, None] - places).abs().amax(-1) <= 1
    expected = (exact * near).sum(-1)
    torch.testing.assert_close(
        home_probability(first, second).double(), expected, atol=1e-6, rtol=0
    )
    some = torch.tensor([3, 11])
    torch.testing.assert_close(
        home_probability(first, second, some), home_probability(first, second)[:, some]
    )


def test_gradients_are_right():
    a, b = nodes(0, (2, 3), 1, 3).requires_grad_(), nodes(1, (2, 3), 1, 3).requires_grad_()
    there, back = centers(0, (2, 3), 1), centers(1, (2, 3), 1)

    def returns(a, b):
        forward, _ = window_step(a, b, there, (2, 3), 1, 0.5)
        backward, _ = window_step(b, a, back, (2, 3), 1, 0.5)
        return window_palindromes([forward, forward], [backward, backward])[1]

    assert torch.autograd.gradcheck(returns, (a, b))


@pytest.mark.parametrize(("radius", "temperature", "named"), [(-1, 1.0, "radius"), (1, 0, "temp")])
def test_options_out_of_range_are_named(radius, temperature, named):
    with pytest.raises(ValueError, match=named):
        window_step(nodes(0), nodes(1), centers(0), SIZE, radius, float(temperature))

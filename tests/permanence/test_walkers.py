"""Walkers: where they start, step and are found, against dense matrices."""

from __future__ import annotations

import torch

from scalable_binding.permanence import walkers


def nodes(t: int = 4, h: int = 4, w: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, t, 6, h, w, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=2)


def dense_step(before: torch.Tensor, after: torch.Tensor, radius: int) -> torch.Tensor:
    """The matrix (n n) of one step, written down cell by cell in float64."""
    _, h, w = before.shape
    matrix = torch.zeros(h * w, h * w, dtype=torch.float64)
    for i in range(h * w):
        for j in range(h * w):
            (y, x), (v, u) = divmod(i, w), divmod(j, w)
            if abs(y - v) <= radius and abs(x - u) <= radius:
                matrix[i, j] = torch.exp(before[:, y, x] @ after[:, v, u] / 0.1)
    return matrix / matrix.sum(dim=1, keepdim=True)


def test_a_walk_is_a_product_of_dense_matrices() -> None:
    path = nodes()
    first = walkers.start(torch.tensor([[[1.25, 2.5]], [[0.0, 3.0]]]).double(), 4, 5)
    found = walkers.walk(first, walkers.steps(path, 1, 0.1), 1)
    for b in range(2):
        row = first[b, 0].flatten()
        for t in range(4):
            if t:
                row = row @ dense_step(path[b, t - 1], path[b, t], 1)
            torch.testing.assert_close(found[b, t, 0].flatten(), row, atol=1e-12, rtol=0)
            assert abs(float(found[b, t, 0].sum()) - 1) < 1e-12


def test_walkers_that_set_out_later_walk_as_those_of_the_rest_of_the_clip() -> None:
    path, radius = nodes(t=5), 1
    affinities = walkers.steps(path, radius, 0.1)
    places = torch.tensor([[[0.5, 1.0], [2.0, 2.0]]] * 2).double()
    starts = walkers.start(places, 4, 5)[:, None].expand(-1, 5, -1, -1, -1)
    found = walkers.walk_from(starts, [0, 2], affinities, radius)
    assert found.shape == (2, 5, 4, 4, 5)
    torch.testing.assert_close(found[:, :, :2], walkers.walk(starts[:, 0], affinities, radius))
    later = walkers.walk(starts[:, 2], affinities[:, 2:], radius)
    torch.testing.assert_close(found[:, 2:, 2:], later)
    assert not found[:, :2, 2:].any()


def test_a_walker_starts_where_its_mean_is_the_place() -> None:
    center = torch.tensor([[[1.3, 2.6], [0.0, 3.0], [-2.0, 9.0]]])
    started = walkers.start(center, 4, 5)
    torch.testing.assert_close(started.sum((-2, -1)), torch.ones(1, 3))
    x = (started.sum(-2) * torch.arange(5.0)).sum(-1)
    y = (started.sum(-1) * torch.arange(4.0)).sum(-1)
    expected = torch.tensor([[[1.3, 2.6], [0.0, 3.0], [0.0, 3.0]]])
    torch.testing.assert_close(torch.stack([x, y], dim=-1), expected)
    torch.testing.assert_close(walkers.locate(started).center, expected)


def test_a_walker_is_found_where_most_of_its_mass_is_together() -> None:
    spread = torch.full((1, 1, 6, 8), 0.4 / 48)
    spread[0, 0, 1, 6] += 0.3
    spread[0, 0, 2, 6] += 0.1
    spread[0, 0, 5, 0] += 0.2
    places = walkers.locate(spread)
    assert (places.center[0, 0] - torch.tensor([6.0, 1.25])).abs().max() < 0.05
    assert 0.4 < float(places.confidence) < 0.5


def test_samples_are_bilinear() -> None:
    ramp = torch.arange(5.0) + 10 * torch.arange(4.0)[:, None]
    found = walkers.sample(ramp[None, None], torch.tensor([[[1.25, 2.5], [4.0, 0.0]]]))
    torch.testing.assert_close(found, torch.tensor([[[26.25], [4.0]]]))

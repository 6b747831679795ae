"""Patches of signals with one to three dimensions, and back."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.nn import patches
from scalable_binding.nn.patches import PatchEmbedding

SIZES = [((12,), (3,)), ((4, 6), (2, 3)), ((6, 4, 2), (2, 4, 1)), ((5, 7), (1, 1))]


@pytest.mark.parametrize(("size", "patch"), SIZES, ids=str)
def test_patches_are_windows_row_by_row(size: tuple[int, ...], patch: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    tokens = patches.cut(x, patch)
    corners = itertools.product(*(range(0, s, p) for s, p in zip(size, patch, strict=True)))
    for number, corner in enumerate(corners):
        window = tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))
        assert torch.equal(tokens[:, number], x[(slice(None), slice(None), *window)].flatten(1))
    assert tokens.shape[1] == number + 1


@pytest.mark.parametrize(("size", "patch"), SIZES, ids=str)
def test_patches_join_to_the_signal(size: tuple[int, ...], patch: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    grid = patches.grid_of(size, patch)
    assert torch.equal(patches.join(patches.cut(x, patch), grid, patch), x)


def test_an_embedding_is_the_convolution_of_the_thesis() -> None:
    """A convolution as large as its stride, the norm, and a position."""
    embedding = PatchEmbedding((4, 6), 3, (2, 3), 8)
    kernel = embedding.project.weight.view(8, 3, 2, 3)
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    maps = torch.nn.functional.conv2d(x, kernel, embedding.project.bias, stride=(2, 3))
    expected = embedding.norm(maps.flatten(2).mT) + embedding.positions
    torch.testing.assert_close(embedding(x), expected)


@pytest.mark.parametrize(
    ("size", "patch"),
    [((4, 5), (2, 2)), ((4, 4), (2,)), ((4, 4, 4, 4), (2, 2, 2, 2)), ((0,), (1,)), ((4,), (0,))],
    ids=str,
)
def test_sides_that_patches_do_not_divide_are_refused(
    size: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    with pytest.raises(UserError):
        patches.grid_of(size, patch)


def test_waves_tell_every_place_apart_and_neighbors_are_most_alike() -> None:
    grid, width = (3, 4, 5), 31
    waves = patches.waves_of(grid, width)
    assert waves.shape == (60, width)
    places = list(itertools.product(*map(range, grid)))
    starts = [width * axis // 3 for axis in range(4)]
    for number, place in enumerate(places):
        expected = []
        for axis, cells in enumerate(grid):
            x = (place[axis] + 0.5) / cells
            for column in range(starts[axis + 1] - starts[axis]):
                wave = math.cos if column % 2 else math.sin
                expected.append(math.sqrt(2) * wave(math.pi * x * 2 ** (column // 2 / 2)))
        assert waves[number].tolist() == pytest.approx(expected, abs=1e-5)
    distances = torch.cdist(waves, waves)
    assert distances[~torch.eye(60, dtype=torch.bool)].min() > 0.1
    along = distances.view(*grid, *grid)[1, 1, :, 1, 1, :]
    assert (along[2].argsort()[1:3].sort().values == torch.tensor([1, 3])).all()


def test_smooth_positions_are_waves_of_the_deviation_asked_for_and_learned() -> None:
    embedding = PatchEmbedding((4, 6), 3, (2, 3), 8, position_std=0.5, smooth_positions=True)
    assert isinstance(embedding.positions, torch.nn.Parameter)
    torch.testing.assert_close(embedding.positions, 0.5 * patches.waves_of((2, 2), 8))

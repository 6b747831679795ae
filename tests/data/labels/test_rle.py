"""Run-length encoding: our codec is COCO's, and refuses what is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scalable_binding.data.labels import polygons, rle
from scalable_binding.data.labels.rle import Rle
from scalable_binding.errors import UserError

masks = arrays.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(mask=masks)
@settings(max_examples=60, deadline=None)
def test_a_mask_comes_back(mask):
    encoded = rle.encode(mask)
    assert (rle.decode(encoded) == mask).all()
    assert rle.from_counts(rle.counts(encoded), *mask.shape) == encoded
    assert rle.counts(encoded)[1::2].sum() == mask.sum()


@given(mask=masks)
@settings(max_examples=60, deadline=None)
def test_the_text_is_that_of_pycocotools(mask):
    coco = pytest.importorskip("pycocotools.mask")
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.encode(mask).text == theirs["counts"]
    given = {"size": list(mask.shape), "counts": rle.counts(rle.encode(mask)).tolist()}
    assert coco.frPyObjects(given, *mask.shape)["counts"] == theirs["counts"]


def test_a_large_mask_is_that_of_pycocotools():
    coco = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((2160, 3840), dtype=bool)
    mask[100:2000, 37:3800] = np.random.default_rng(0).random((1900, 3763)) > 0.001
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.encode(mask).text == theirs["counts"]
    assert (rle.decode(Rle(2160, 3840, theirs["counts"])) == mask).all()


@pytest.mark.parametrize("text", [b"", b"\xff", b" ", b"P", b"ooooooooooooo", b"4", b"0000", b"~"])
def test_a_text_that_is_none_is_refused(text):
    with pytest.raises(UserError, match="run-length encoding"):
        rle.decode(Rle(3, 3, text))


@given(text=st.binary(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_mask_or_refused(text):
    try:
        mask = rle.decode(Rle(4, 5, text))
    except UserError:
        return
    assert mask.shape == (4, 5)


@pytest.mark.parametrize(
    "lengths", [[], [8], [-1, 10], [4, 6], [4.5, 4.5], ["a"], [[9]], [2**70], ["9"]]
)
def test_runs_that_do_not_fill_the_mask_are_refused(lengths):
    with pytest.raises(UserError, match="run-length encoding"):
        rle.from_counts(lengths, 3, 3)


def test_a_size_beyond_bounds_is_refused():
    with pytest.raises(UserError, match="8192 x 8192"):
        rle.from_counts([2**40], 2**20, 2**20)


def test_a_polygon_holds_the_centers_inside():
    path = pytest.importorskip("matplotlib.path")
    rows, columns = np.mgrid[:30, :40] + 0.5
    for seed in range(20):
        corners = np.random.default_rng(seed).uniform(-5, 45, (3, 2))
        expected = path.Path(corners).contains_points(np.stack([columns, rows], -1).reshape(-1, 2))
        assert (polygons.fill([corners], 30, 40) == expected.reshape(30, 40)).all()


def test_a_polygon_along_the_grid_holds_its_pixels():
    square = np.array([[2, 1], [6, 1], [6, 4], [2, 4]], dtype=float)
    mask = polygons.fill([square], 8, 8)
    expected = np.zeros((8, 8), dtype=bool)
    expected[1:4, 2:6] = True
    assert (mask == expected).all()

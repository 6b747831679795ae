"""The reader of MATLAB files, against SciPy's writer."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from scalable_binding.data.labels import matlab
from scalable_binding.errors import UserError


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).normal(scale=50, size=(2, 15, 7))


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "i4"])
def test_reads_what_scipy_writes(
    tmp_path: Path, array: np.ndarray, dtype: str, compressed: bool
) -> None:
    written = {"view": "front", "pos_img": array.astype(dtype), "empty": np.zeros((0, 3))}
    scipy.io.savemat(tmp_path / "x.mat", written, do_compression=compressed)
    found = matlab.read(tmp_path / "x.mat", "pos_img")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, written["pos_img"])
    assert matlab.read(tmp_path / "x.mat", "empty").shape == (0, 3)


@pytest.mark.parametrize("name", ["view", "values", "none"])
def test_what_is_no_array_of_real_numbers_is_one_line(tmp_path: Path, name: str) -> None:
    scipy.io.savemat(tmp_path / "x.mat", {"view": "front", "values": np.array([1j])})
    with pytest.raises(UserError, match=f"expected an array of numbers '{name}'"):
        matlab.read(tmp_path / "x.mat", name)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_damaged_file_is_one_line(tmp_path: Path, array: np.ndarray, compressed: bool) -> None:
    path = tmp_path / "x.mat"
    scipy.io.savemat(path, {"pos_img": array}, do_compression=compressed)
    content = path.read_bytes()
    for length in range(0, len(content) - 16, 61):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"x\.mat"):
            matlab.read(path, "pos_img")
    rng = np.random.default_rng(1)
    for _ in range(100):
        harmed = bytearray(content)
        harmed[124 + rng.integers(80)] = rng.integers(256)
        path.write_bytes(bytes(harmed))
        with suppress(UserError):
            matlab.read(path, "pos_img")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        matlab.read(tmp_path / "x.mat", "pos_img")

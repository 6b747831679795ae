"""Reference statistics in files: read back exactly, and refused when they are another's."""

import numpy as np
import pytest
import torch

from scalable_binding.errors import UserError
from scalable_binding.metrics import reference
from scalable_binding.metrics.features import FeatureStatistics


@pytest.fixture
def statistics():
    found = FeatureStatistics(5, keep=7)
    found.update(torch.randn(20, 5))
    return found


def test_what_is_written_is_read(statistics, tmp_path):
    reference.save(tmp_path / "a.npz", statistics, "data and network")
    again = reference.load(tmp_path / "a.npz", "data and network")
    assert again.count == 20
    assert torch.equal(again.mean, statistics.mean)
    assert torch.equal(again.covariance, statistics.covariance)
    assert torch.equal(again.vectors, statistics.vectors) and len(again.vectors) == 7


def test_statistics_of_another_network_are_refused(statistics, tmp_path):
    reference.save(tmp_path / "a.npz", statistics, "one network")
    with pytest.raises(UserError, match="of other data or of another feature network"):
        reference.load(tmp_path / "a.npz", "another network")


def write(path, statistics, **changes):
    arrays = {
        "fingerprint": np.array("x"),
        "count": np.array(20),
        "total": statistics.total.numpy(),
        "products": statistics.products.numpy(),
        "vectors": statistics.vectors.numpy(),
    } | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total": None}, "cannot be read"),
        ({"total": np.zeros(4)}, "damaged"),
        ({"products": np.full((5, 5), np.nan)}, "damaged"),
        ({"vectors": np.zeros((3, 5))}, "damaged"),
        ({"count": np.array([1, 2])}, "damaged"),
        ({"total": np.array([{}] * 5, dtype=object)}, "cannot be read"),
    ],
)
def test_damaged_and_hostile_files_are_refused(statistics, tmp_path, changes, message):
    write(tmp_path / "a.npz", statistics, **changes)
    with pytest.raises(UserError, match=message):
        reference.load(tmp_path / "a.npz", "x")


def test_files_that_are_no_archive_are_told(statistics, tmp_path, monkeypatch):
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UserError, match="cannot be read"):
        reference.load(tmp_path / "text.npz", "x")
    with pytest.raises(UserError, match="no such file"):
        reference.load(tmp_path / "missing.npz", "x")
    write(tmp_path / "a.npz", statistics)
    monkeypatch.setattr(reference, "MAX_BYTES", 100)
    with pytest.raises(UserError, match="at most 100 bytes"):
        reference.load(tmp_path / "a.npz", "x")

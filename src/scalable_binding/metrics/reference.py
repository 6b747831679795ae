"""Statistics of a data set's features, kept in a file so that they are computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scalable_binding import files
from scalable_binding.data.arrays import read_npz
from scalable_binding.errors import UserError
from scalable_binding.metrics.features import FeatureStatistics

MAX_BYTES = 8 * 2**30
_ARRAYS = ("fingerprint", "count", "total", "products", "vectors")


def save(path: Path, statistics: FeatureStatistics, fingerprint: str) -> None:
    """Write statistics as an ``.npz`` file of plain arrays.

    ``fingerprint`` stands for everything that they depend on: the data and the feature network.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as file:
        np.savez(
            file,
            fingerprint=np.array(fingerprint),
            count=np.array(statistics.count),
            total=statistics.total.numpy(),
            products=statistics.products.numpy(),
            vectors=statistics.vectors.numpy(),
        )


def load(path: Path, fingerprint: str) -> FeatureStatistics:
    """The statistics that :func:`save` wrote for the same fingerprint.

    Raises:
        UserError: the file cannot be read, is not of this kind, or belongs to other data or to
            another feature network.
    """
    arrays = _read(path)
    if str(arrays["fingerprint"]) != fingerprint:
        raise UserError(
            f"reference statistics {path} are of other data or of another feature network",
            fix="name another file, or delete it",
        )
    total, products, vectors = arrays["total"], arrays["products"], arrays["vectors"]
    width = total.size
    is_sound = (
        arrays["count"].shape == ()
        and total.shape == (width,)
        and products.shape == (width, width)
        and vectors.ndim == 2
        and vectors.shape[1] == width
        and total.dtype == products.dtype == np.float64
        and vectors.dtype == np.float32
        and all(bool(np.isfinite(array).all()) for array in (total, products, vectors))
    )
    if not is_sound:
        raise UserError(f"reference statistics {path} are damaged", fix="delete the file")
    statistics = FeatureStatistics(width, keep=len(vectors))
    statistics.count = int(arrays["count"])
    statistics.total = torch.from_numpy(total)
    statistics.products = torch.from_numpy(products)
    statistics.restore(torch.from_numpy(vectors))
    return statistics


def _read(path: Path) -> dict[str, np.ndarray]:
    files.check_regular(path)
    try:
        found = read_npz(path, _ARRAYS, MAX_BYTES)
    except UserError as error:
        raise UserError(f"reference statistics: {error}", fix="delete the file") from error
    missing = [name for name in _ARRAYS if name not in found]
    if missing:
        fix = "delete the file"
        raise UserError(f"reference statistics {path} cannot be read (no {missing[0]})", fix=fix)
    return found

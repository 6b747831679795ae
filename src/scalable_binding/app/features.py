"""Features of frames, kept on the disk so that a correction does not encode them again."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding import files
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.errors import UserError

DISK_BYTES = 2 * 2**30
"""The least recently used features go when there are more bytes of them than this."""

_IN_MEMORY = 6  # frames


class CachedFeatures:
    """A model whose features of each frame are computed once, and found again by its pixels.

    They are kept in half precision, up to ``limit`` bytes of them.
    """

    def __init__(self, model: FeatureModel, folder: Path, limit: int = DISK_BYTES) -> None:
        self.model = model
        self.folder = folder
        self.limit = limit
        self._lock = threading.RLock()
        self._recent: OrderedDict[str, Tensor] = OrderedDict()
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob("*.partial"):
            partial.unlink(missing_ok=True)
        files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
        self._sizes = OrderedDict((path.stem, path.stat().st_size) for path in files)
        self._total = sum(self._sizes.values())

    @property
    def stride(self) -> int:
        """Pixels between neighboring cells."""
        return self.model.stride

    def features(self, frame: UInt8[Tensor, "3 h w"]) -> Float[Tensor, "d h8 w8"]:
        """The unit vector of each cell."""
        key = _key(frame)
        with self._lock:
            found = self._recent.get(key)
            if found is None:
                found = self._read(key)
            if found is None:
                found = self._compute(key, frame)
            self._recent[key] = found
            self._recent.move_to_end(key)
            while len(self._recent) > _IN_MEMORY:
                self._recent.popitem(last=False)
        return found.float()

    def _compute(self, key: str, frame: UInt8[Tensor, "3 h w"]) -> Tensor:
        with torch.inference_mode():
            found = self.model.features(frame).half().cpu()
        self._write(key, found)
        return found

    def has(self, frame: UInt8[Tensor, "3 h w"]) -> bool:
        """Whether the features of a frame are there without computing them."""
        key = _key(frame)
        with self._lock:
            return key in self._recent or key in self._sizes

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _read(self, key: str) -> Tensor | None:
        if key not in self._sizes:
            return None
        try:
            with files.open_regular(self._path(key)) as file:
                found = torch.from_numpy(np.load(file))
        except (
            UserError,
            OSError,
            EOFError,
            ValueError,
        ):  # removed or cut by someone else: it is computed again
            self._total -= self._sizes.pop(key)
            return None
        self._sizes.move_to_end(key)
        return found

    def _write(self, key: str, features: Tensor) -> None:
        partial = self.folder / f"{key}.{os.getpid()}.partial"
        try:
            with partial.open("wb") as file:
                np.save(file, features.numpy())
            partial.replace(self._path(key))
        except OSError:  # a full disk: the cache stays as it is
            partial.unlink(missing_ok=True)
            return
        self._sizes[key] = self._path(key).stat().st_size
        self._total += self._sizes[key]
        while self._total > self.limit and len(self._sizes) > 1:
            oldest, size = self._sizes.popitem(last=False)
            self._path(oldest).unlink(missing_ok=True)
            self._total -= size


def _key(frame: UInt8[Tensor, "3 h w"]) -> str:
    pixels = frame.permute(1, 2, 0).contiguous().cpu().numpy()
    name = hashlib.blake2b(pixels.data, digest_size=16, person=b"sbind features")
    name.update(str(tuple(frame.shape)).encode())
    return name.hexdigest()

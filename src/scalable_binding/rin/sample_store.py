"""Cache of generated samples, so that an interrupted evaluation resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scalable_binding import atomic, files
from scalable_binding.data.arrays import read_npz
from scalable_binding.errors import UserError
from scalable_binding.rin.inference import Batch

SETTINGS = "evaluation.json"


class SampleStore:
    """Batches of samples in files named by the number of the first sample.

    Args:
        folder: made when it is not there; None keeps nothing.
        settings: all that samples depend on, in plain values.
        writes: whether this process writes the settings; one of a run does.

    Raises:
        UserError: the folder holds samples of other settings, or cannot be written.
    """

    def __init__(
        self, folder: Path | None, settings: Mapping[str, Any], *, writes: bool = True
    ) -> None:
        self._folder = folder
        if folder is None:
            return
        found = _read(folder / SETTINGS)
        plain = json.loads(json.dumps(dict(settings)))
        if found is not None and found != plain:
            keys = [*plain, *found]
            names = sorted({name for name in keys if found.get(name) != plain.get(name)})
            raise UserError(
                f"folder {folder} holds samples with other {', '.join(names)}",
                fix="choose another, or delete it",
            )
        if found is None and writes:
            with atomic.replacing(folder / SETTINGS) as partial:
                partial.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")

    def load(self, first: int, count: int) -> Batch | None:
        """The kept batch of so many samples from number ``first`` on, or None.

        Raises:
            UserError: it is there and cannot be read.
        """
        if self._folder is None or not (path := self._path(first, count)).is_file():
            return None
        try:
            found = read_npz(path, ("samples", "classes"))
            samples, classes = found["samples"], found["classes"]
        except (UserError, KeyError) as error:
            raise UserError(f"{path} cannot be read ({error})", fix="delete it") from error
        if samples.dtype != np.uint8 or classes.shape != (count,) or len(samples) != count:
            raise UserError(f"{path} is not a batch of samples", fix="delete it")
        return Batch(first, torch.from_numpy(samples), torch.from_numpy(classes))

    def save(self, batch: Batch) -> None:
        """Keep a batch, whole or not at all."""
        if self._folder is None:
            return
        path = self._path(batch.first, len(batch.samples))
        with atomic.replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, samples=batch.samples.numpy(), classes=batch.classes.numpy())

    def _path(self, first: int, count: int) -> Path:
        assert self._folder is not None
        return self._folder / "samples" / f"{first:08}-{first + count:08}.npz"


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found = files.read_json(path, fix="delete it")
    if not isinstance(found, dict):
        raise UserError(f"{path} is not a record of settings", fix="delete it")
    return found

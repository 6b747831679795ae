"""Kept checkpoints, and the best one by Frechet distance, while a network trains."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from scalable_binding import files
from scalable_binding.atomic import write_text
from scalable_binding.engine.checkpoint import CONFIG, WEIGHTS, save_tensors
from scalable_binding.engine.loading import EndlessDataset
from scalable_binding.errors import UserError
from scalable_binding.rin import inference
from scalable_binding.rin.config import DiffusionConfig
from scalable_binding.rin.features import choose
from scalable_binding.rin.model import RIN
from scalable_binding.rin.pretrained import Pretrained
from scalable_binding.rin.sampling_config import SamplingConfig
from scalable_binding.rin.scoring import SampleScores, describe

KEPT, BEST, SCORES = "kept", "best", "scores.json"
MAX_REAL = 5000
"""Real examples, at most, that samples are compared with."""
BATCH = 64


def keep(step: int, network: nn.Module, run: Path) -> None:
    """Callback: save the averaged weights to ``kept/<step>``, a folder that ``load`` takes."""
    _save(network, run, run / KEPT / f"{step:07}", step)


class Scorer:
    """Callback: the Frechet distance of some samples, for the log; ``best`` keeps the nearest ones.

    Args:
        dataset: held-out examples.
        num_real: how many of them to compare with, at most ``MAX_REAL``.
        num: samples.
        diffusion: of the run.
        sampling: how to sample.
        features: the feature network; see :func:`scalable_binding.rin.features.choose`.
        size, channels: of the examples.

    Raises:
        UserError: no feature network fits, or it cannot be read.
    """

    def __init__(
        self,
        dataset: EndlessDataset,
        num_real: int,
        num: int,
        diffusion: DiffusionConfig,
        sampling: SamplingConfig,
        features: str | None,
        *,
        size: tuple[int, ...],
        channels: int,
    ) -> None:
        found = choose(features, size, channels)
        if found is None:
            expected = "a feature network, since none that ships fits this size"
            raise UserError("score_features", expected=expected, got="none")
        self._features, self._num = found, num
        self._diffusion, self._sampling = diffusion, sampling
        count = min(num_real, MAX_REAL)
        batches = (
            torch.stack([_signal(dataset, i) for i in range(start, min(start + BATCH, count))])
            for start in range(0, count, BATCH)
        )
        self._reference = describe(found, batches)

    def __call__(self, step: int, network: nn.Module, run: Path) -> dict[str, float]:
        """The scores of the network, which is kept if it is the best so far."""
        assert isinstance(network, RIN)
        pretrained = Pretrained(model=network, diffusion=self._diffusion)
        known = network.num_classes
        judges = known > 0 and self._features.network.num_classes == known
        gathered = SampleScores(self._features, judges_classes=judges)
        classes: Sequence[int] | None = range(known) if known else None
        for batch in inference.generate(pretrained, self._num, self._sampling, classes=classes):
            gathered.update(batch.samples, batch.classes)
        scores = gathered.compute(self._reference)
        names = ("frechet", "class_accuracy")
        found: dict[str, float] = {name: scores[name] for name in names if name in scores}
        if found["frechet"] < best_distance(run):
            _save(network, run, run / BEST, step)
            write_text(run / BEST / SCORES, json.dumps({"step": step, **found}) + "\n")
        return found


def best_distance(run: Path) -> float:
    """The least distance of the run so far; infinite before the first."""
    path = run / BEST / SCORES
    if not path.is_file():
        return float("inf")
    try:
        return float(files.read_json(path, fix="delete it")["frechet"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error})", fix="delete it") from error


def _signal(dataset: EndlessDataset, index: int) -> torch.Tensor:
    example = dataset[index]
    return example["video"] if "video" in example else example["image"]


def _save(network: nn.Module, run: Path, folder: Path, step: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run / CONFIG, folder / CONFIG)
    save_tensors(network.state_dict(), folder / WEIGHTS, step=step)

"""Evaluation: held-out loss, and scores of samples against real data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from scalable_binding import atomic
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.frames import sources
from scalable_binding.diffusion import targets
from scalable_binding.engine import checkpoint
from scalable_binding.engine.checkpoint import CONFIG
from scalable_binding.engine.config import from_mapping, to_mapping
from scalable_binding.engine.distributed import DistributedContext, distributed_session
from scalable_binding.engine.loading import EndlessDataset
from scalable_binding.engine.versions import installed_versions
from scalable_binding.errors import UserError
from scalable_binding.metrics import reference as references
from scalable_binding.metrics.features import FeatureStatistics
from scalable_binding.metrics.frechet import frechet_distance
from scalable_binding.metrics.networks import fingerprint
from scalable_binding.rin import inference, train
from scalable_binding.rin.config import DataConfig, RINConfig
from scalable_binding.rin.evaluation_config import EvaluationConfig
from scalable_binding.rin.features import Features, choose
from scalable_binding.rin.forecasts import ForecastScores
from scalable_binding.rin.inference import Batch, Pretrained, SamplingConfig
from scalable_binding.rin.loss_by_noise_level import NUM_LEVELS, loss_by_noise_level
from scalable_binding.rin.pretrained import run_folder
from scalable_binding.rin.sample_store import SampleStore
from scalable_binding.rin.scoring import SampleScores, describe

LOSS_EXAMPLES = 512
"""Held-out examples at most that the loss is computed on, at each level of noise."""

LEAST_SCORED = 4
"""Samples, and real ones, that precision, recall and the kernel distance can be had of."""

Tick = Callable[[str, int, int], object]
"""Called with what is being done, how much of it is done, and how much there is."""


def evaluate(
    run: str | Path,
    data: Sequence[Path] = (),
    config: EvaluationConfig | None = None,
    sampling: SamplingConfig | None = None,
    *,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Evaluate a network; returns scores and everything that they depend on, ready for JSON.

    "loss" is the loss on held-out data, over all and "by_level" of noise. "scores" are those of
    samples against the data; "yardstick" is the Fréchet distance of training data, where some are
    at hand. Of a network that predicts, "forecasts" compares its futures with the true ones and
    with those that copy the last frame or extrapolate. "features" says by which network, and
    whether it is the standard one.

    Args:
        run: a run's folder, or the name of a shipped network.
        data: files not trained on, for networks trained on files; the others know their own.
        config: what to evaluate.
        sampling: how to draw samples.
        tick: is told how far it is.

    Raises:
        UserError: as ``inference.load``; no data, or data, features or files that do not fit; too
            few samples to score, or files to keep them in where none are drawn.

    Source: Thesis 2.3.2.
    """
    config, sampling = config or EvaluationConfig(), sampling or SamplingConfig()
    with distributed_session(config.device) as ranks:
        pretrained = inference.load(run, device=ranks.device)
        held_out = open_held_out(run, pretrained, data)
        job = _Job(pretrained, config, sampling, ranks, held_out, tick or (lambda *_: None))
        model = pretrained.model
        features = choose(config.features, model.size, model.channels, device=ranks.device)
        _refuse(config, pretrained, features, job.num_real)
        results: dict[str, Any] = {
            "run": str(run),
            "num": config.num,
            "sampling": to_mapping(sampling),
            "loss": job.losses(),
            "features": None
            if features is None
            else {
                "name": features.name,
                "is_standard": features.is_standard,
                "note": features.note,
                "fingerprint": features.fingerprint,
            },
        }
        if model.context:
            results["forecasts"] = job.forecasts(features)
        elif features is not None:
            results |= job.scores(features, run, data)
        return {**results, "versions": installed_versions()}


def open_held_out(
    run: str | Path, pretrained: Pretrained, data: Sequence[Path], *, held_out: bool = True
) -> EndlessDataset:
    """The data to evaluate on, of the kind that the network was trained on, never mirrored.

    Raises:
        UserError: files are needed and none given, they do not fit the network, or their classes
            are not those that it was trained on.
    """
    record = checkpoint.read_config(run_folder(run) / CONFIG)
    described = record.get("data")
    kind = from_mapping(DataConfig, described if isinstance(described, dict) else {})
    settings = RINConfig(
        model=pretrained.model.settings,
        diffusion=pretrained.diffusion,
        data=replace(kind, flip=False),
    )
    dataset = train.open_data(settings, data, held_out=held_out)
    train.check_fit(settings, dataset)
    if pretrained.model.num_classes:
        train.check_classes("the data", dataset, pretrained.classes)
    return dataset


def distance_between(
    features: str | Path,
    first: Sequence[Path],
    second: Sequence[Path],
    *,
    size: tuple[int, int],
    device: torch.device | str = "cpu",
) -> float:
    """Fréchet distance between two sets of image files, a yardstick for samples.

    Raises:
        UserError: as :func:`scalable_binding.rin.features.choose`, or images that cannot be read.
    """
    network = choose(features, size, 3, device=device)
    assert network is not None
    found = []
    for paths in (first, second):
        dataset = LabeledImages([*paths], size=size)
        batches = (
            torch.stack([dataset[i]["image"] for i in range(start, min(start + 64, len(dataset)))])
            for start in range(0, len(dataset), 64)
        )
        found.append(describe(network, batches))
    return frechet_distance(*found)


class _Job:
    """An evaluation in progress: the parts of it that take time."""

    def __init__(
        self,
        pretrained: Pretrained,
        config: EvaluationConfig,
        sampling: SamplingConfig,
        ranks: DistributedContext,
        held_out: EndlessDataset,
        tick: Tick,
    ) -> None:
        self.pretrained, self.config, self.sampling = pretrained, config, sampling
        self.ranks, self.held_out, self.tick = ranks, held_out, tick
        size = getattr(held_out, "__len__", None)
        finite = None if size is None else int(size())
        self.num_real = config.num_real or finite or config.num
        self.num_real = min(self.num_real, finite or self.num_real)

    def losses(self) -> dict[str, Any]:
        """The held-out loss: its mean, and by level of noise, computed by every process alike."""
        count = min(self.num_real, LOSS_EXAMPLES)
        by_level = loss_by_noise_level(
            self.pretrained, self._batches(self.held_out, range(count), "loss")
        )
        edges = [level / NUM_LEVELS for level in range(NUM_LEVELS + 1)]
        levels = [
            {"from_time": edges[i], "to_time": edges[i + 1], "loss": float(by_level[i])}
            for i in range(NUM_LEVELS)
        ]
        return {"mean": float(by_level.mean()), "num": count, "by_level": levels}

    def scores(self, features: Features, run: str | Path, data: Sequence[Path]) -> dict[str, Any]:
        """Scores of samples, and the Fréchet distance of training data as a yardstick."""
        reference = self._reference(features, data)
        known = self.pretrained.model.num_classes
        classes = [*range(known)] if known else None
        judges = known > 0 and features.network.num_classes == known
        gathered = SampleScores(features, judges_classes=judges)
        for batch in self._samples(classes):
            gathered.update(batch.samples, batch.classes)
        gathered.all_reduce()
        found: dict[str, Any] = {"scores": gathered.compute(reference)}
        if not data:
            known_data = open_held_out(run, self.pretrained, (), held_out=False)
            shown = describe(features, self._pictures(known_data, self._share(self.num_real)))
            shown.all_reduce()
            found["yardstick"] = {"frechet": frechet_distance(reference, shown)}
        return found

    def forecasts(self, features: Features | None) -> dict[str, Any]:
        """Predictions of held-out videos from their first frames, one future each."""
        context = self.pretrained.model.context
        num_frames = self.pretrained.model.size[0] - context
        gathered = ForecastScores(features, num_frames)
        indices = self._share(self.config.num)
        for videos in self._pictures(self.held_out, indices, "predictions"):
            given, truth = videos[:, :, :context], videos[:, :, context:]
            gathered.update(given, truth, self._predict(given, indices[0]))
            indices = indices[len(videos) :]
        gathered.all_reduce()
        return gathered.compute()

    def _predict(self, given: Tensor, first: int) -> Tensor:
        scale = self.pretrained.diffusion.scale
        context = targets.scale(given.float() / 255, scale).to(self.pretrained.device)
        states = inference.sample(
            self.pretrained, len(given), self.sampling, context=context, first=first
        )
        *_, last = states
        return inference.pictures(self.pretrained, last.x0)

    def _reference(self, features: Features, data: Sequence[Path]) -> FeatureStatistics:
        """The real data's statistics, from the file that keeps them if there is one."""
        path, identity = self.config.reference, self._identify(features, data)
        if path is not None and path.exists():
            return references.load(path, identity)
        statistics = describe(
            features, self._pictures(self.held_out, self._share(self.num_real), "real data")
        )
        statistics.all_reduce()
        if path is not None and self.ranks.is_first:
            with atomic.replacing(path) as partial:
                references.save(partial, statistics, identity)
        return statistics

    def _identify(self, features: Features, data: Sequence[Path]) -> str:
        """What real statistics depend on: the data, their number and size, and the network."""
        own = self.config.reference and self.config.reference.resolve()
        parts = [
            type(self.held_out).__name__,
            [_stamp(path) for path in _files(data) if path != own],
            self.num_real,
            list(self.pretrained.model.size),
            self.pretrained.fps,
            features.fingerprint,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _samples(self, classes: Sequence[int] | None) -> Iterator[Batch]:
        """This process' share of the samples, those that are kept already not drawn again."""
        settings = {
            "network": fingerprint(self.pretrained.model),
            "sampling": to_mapping(self.sampling),
        }
        store = SampleStore(self.config.out, settings, writes=self.ranks.is_first)
        numbers, size = self._share(self.config.num), self.sampling.batch_size
        for first in range(numbers.start, numbers.stop, size):
            count = min(size, numbers.stop - first)
            kept = store.load(first, count)
            if kept is None:
                drawn = inference.generate(
                    self.pretrained, count, self.sampling, classes=classes, first=first
                )
                parts = [*drawn]
                kept = Batch(
                    first,
                    torch.cat([part.samples for part in parts]),
                    torch.cat([part.classes for part in parts]),
                )
                store.save(kept)
            yield kept
            self.tick("samples", first + count - numbers.start, len(numbers))

    def _share(self, count: int) -> range:
        """This process' part of so many things."""
        edges = [count * rank // self.ranks.size for rank in range(self.ranks.size + 1)]
        return range(edges[self.ranks.rank], edges[self.ranks.rank + 1])

    def _batches(
        self, dataset: EndlessDataset, indices: range, what: str = "training data"
    ) -> Iterator[dict[str, Tensor]]:
        size = self.sampling.batch_size
        for first in range(0, len(indices), size):
            part = indices[first : first + size]
            yield dict(default_collate([dataset[index] for index in part]))
            self.tick(what, first + len(part), len(indices))

    def _pictures(
        self, dataset: EndlessDataset, indices: range, what: str = "training data"
    ) -> Iterator[Tensor]:
        for batch in self._batches(dataset, indices, what):
            yield batch["video"] if "video" in batch else batch["image"]


def _refuse(
    config: EvaluationConfig, pretrained: Pretrained, features: Features | None, num_real: int
) -> None:
    """Nothing, when what is asked for can be done.

    Raises:
        UserError: samples or statistics to keep where none are made, or too few of them to score.
    """
    lacking = None
    if pretrained.model.context:
        lacking = "a network that predicts, whose futures are compared one by one"
    elif features is None:
        lacking = "no feature network that fits, without which nothing is sampled"
    for name, value in (("out", config.out), ("reference", config.reference)):
        if lacking and value is not None:
            raise UserError(f"{name} {value} would not be used", got=lacking, fix="leave it out")
    if lacking is None and min(config.num, num_real) < LEAST_SCORED:
        expected = f"at least {LEAST_SCORED} of each"
        got = f"{config.num} and {num_real}"
        raise UserError("samples and real ones to compare", expected=expected, got=got)


def _files(data: Sequence[Path]) -> Iterator[Path]:
    for root in data:
        for folder, names in sources.walk(root.resolve()):
            yield from (folder / name for name in names)


def _stamp(path: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    found = path.stat()
    return str(path), found.st_size, found.st_mtime_ns

"""How well labels propagate with an encoder: benchmarks, sequence by sequence."""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import tee
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scalable_binding.crw import calibration
from scalable_binding.crw import model as models
from scalable_binding.crw.benchmarks import BENCHMARKS, Benchmark, Entry, Video
from scalable_binding.crw.inference import FeatureModel, Prediction, Search, propagate
from scalable_binding.crw.presets import AdaptationConfig, PropagationConfig
from scalable_binding.crw.progress import EvaluationProgress
from scalable_binding.crw.reader_config import ReadingConfig
from scalable_binding.crw.records import Record, Records
from scalable_binding.crw.scoring import Result, Score
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.engine.versions import installed_versions
from scalable_binding.errors import UserError
from scalable_binding.nn.precision import has_fast_bfloat16
from scalable_binding.walk.neighbors import top_neighbors

Take = Callable[[str, int, Result], None]
"""Called with the kind of labels, the frame's number, and its labels."""

T = TypeVar("T")


def evaluate(
    benchmark: str,
    root: Path | None = None,
    *,
    weights: str | Path = "shipped",
    calibrate: Sequence[Path] = (),
    reading: ReadingConfig | None = None,
    changes: Mapping[str, Any] | None = None,
    adaptation: AdaptationConfig | None = None,
    sequences: Iterable[str] | None = None,
    listed: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Scores, overall and of each sequence, with all that they depend on; fit for JSON.

    Overall scores are means over objects (masks), over joints (key points) or over classes of one
    histogram (parts), as each protocol has it, not over sequences. ``seconds_per_frame`` counts
    reading, features and propagation, not scoring.

    Args:
        benchmark: "davis", "jhmdb", "vip" or "synthetic".
        root: folder in the official layout; the synthetic world needs none.
        weights: whatever ``crw.model.load`` takes.
        calibrate: folders of videos on whose frames the encoder's reader is fitted first.
        reading: which features of the backbone carry labels.
        changes: settings of propagation that differ from the protocol's, by name.
        adaptation: train on each sequence while labels go through it.
        sequences: names of those to score; None scores all that belong to the protocol.
        listed: a file that names the sequences, instead of the data set's own.
        out: folder for predictions and for a record of each sequence as it is done; sequences
            recorded there are not done again.
        overwrite: discard what another evaluation left in ``out``.
        device: where the encoder and the search run.

    Raises:
        UserError: data are missing, incomplete or unreadable, there is no such sequence, or
            ``out`` holds another evaluation.

    Source: Thesis 3.3 and 3.7.5; protocols of DAVIS, JHMDB and VIP.
    """
    protocol = _protocol(benchmark)
    if root is None and benchmark != "synthetic":
        raise UserError(f"benchmark {benchmark}", expected="the folder of its data", got="none")
    config = override(protocol.propagation, dict(changes or {}))
    model = calibration.load(weights, calibrate, reading, device)
    entries = _entries(protocol, root or Path(), sequences, listed)
    settings = {
        "benchmark": benchmark,
        "root": None if root is None else str(root.resolve()),
        "weights": str(weights),
        "calibrate": [str(path.resolve()) for path in calibrate],
        "fingerprint": fingerprint(model),
        "propagation": to_mapping(config),
        "adaptation": None if adaptation is None else to_mapping(adaptation),
    }
    records = Records(out, settings, overwrite=overwrite)
    done: dict[str, Record] = {}
    with EvaluationProgress(entries) as progress:
        for entry in entries:
            record = records.load(entry.name)
            if record is None:
                take = partial(records.write, entry.name)
                record = score(entry, model, config, adaptation, take=take, tick=progress.tick)
                records.save(entry.name, record)
            progress.finish(entry.name, record)
            done[entry.name] = record
    where = {"device": device, "bfloat16": has_fast_bfloat16(device.partition(":")[0])}
    return {**settings, **where, "versions": installed_versions(), **_conclude(done, protocol)}


def score(
    entry: Entry,
    model: FeatureModel,
    config: PropagationConfig,
    adaptation: AdaptationConfig | None = None,
    *,
    take: Take | None = None,
    tick: Callable[[], object] | None = None,
) -> Record:
    """The record of one sequence: its scores, and the evidence that overall scores need.

    Args:
        entry: of a benchmark.
        model: gives the features.
        config: of propagation.
        adaptation: train on the sequence while labels go through it.
        take: is given the predicted labels of every frame.
        tick: is called after every frame.

    Raises:
        UserError: the sequence cannot be read, or its labels do not fit; names the sequence.
    """
    try:
        video = entry.open()
        seconds = 0.0
        steps = _steps(video, model, config, adaptation)
        for number in range(entry.num_frames):
            began = time.perf_counter()
            predictions = next(steps)
            seconds += time.perf_counter() - began
            for kind, prediction in predictions.items():
                result = video.scores[kind].add(prediction)
                if take is not None:
                    take("" if len(predictions) == 1 else kind, number, result)
            if tick is not None:
                tick()
        evidence = {kind: scored.evidence() for kind, scored in video.scores.items()}
        kinds = {kind: type(scored) for kind, scored in video.scores.items()}
        return {
            "scores": summarize([evidence], kinds),
            "num_frames": entry.num_frames,
            "seconds_per_frame": seconds / entry.num_frames,
            "evidence": evidence,
        }
    except UserError as error:
        raise UserError(f"sequence {entry.name}: {error}") from error


def summarize(
    evidence: Sequence[Mapping[str, Any]], kinds: Mapping[str, type[Score]]
) -> dict[str, float]:
    """Named scores of the sequences whose evidence is given, all kinds of labels together."""
    scores: dict[str, float] = {}
    for kind, scorer in kinds.items():
        scores |= scorer.summarize([of_kind[kind] for of_kind in evidence])
    return scores


def fingerprint(model: FeatureModel) -> str:
    """What tells models apart that give different features: kind, architecture and every weight."""
    digest = hashlib.sha256(type(model).__name__.encode())
    if isinstance(model, models.Encoder):
        digest.update(json.dumps(models.arguments(model)).encode())
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class _Shared(Generic[T]):
    """Work that ``num`` propagations have in common, done once a frame.

    They go in step, so what the first of them asks for is what all others get.
    """

    def __init__(self, work: Callable[..., T], num: int) -> None:
        self._work, self._num = work, num
        self._asked = 0

    def __call__(self, *given: Any, **options: Any) -> T:
        if self._asked % self._num == 0:
            self._found = self._work(*given, **options)
        self._asked += 1
        return self._found


@dataclass(frozen=True)
class _SharedModel:
    """A model whose features several propagations share."""

    stride: int
    features: Callable[[UInt8[Tensor, "3 h w"]], Float[Tensor, "d h8 w8"]]


def _steps(
    video: Video,
    model: FeatureModel,
    config: PropagationConfig,
    adaptation: AdaptationConfig | None,
) -> Iterator[dict[str, Prediction]]:
    """The predictions of each frame, by the kind of labels."""
    search: Search = top_neighbors
    if adaptation is None:
        model = _SharedModel(model.stride, _Shared(model.features, len(video.scores)))
        search = _Shared(top_neighbors, len(video.scores))
    propagations = [
        propagate(frames, scored.labels, model, config, adaptation=adaptation, search=search)
        for frames, scored in zip(
            tee(video.frames, len(video.scores)), video.scores.values(), strict=True
        )
    ]
    for predictions in zip(*propagations, strict=True):
        yield dict(zip(video.scores, predictions, strict=True))


def _protocol(benchmark: str) -> Benchmark:
    if benchmark not in BENCHMARKS:
        raise UserError("benchmark", expected=" or ".join(BENCHMARKS), got=benchmark)
    return BENCHMARKS[benchmark]


def _entries(
    protocol: Benchmark, root: Path, chosen: Iterable[str] | None, listed: Path | None
) -> list[Entry]:
    """The complete sequences to score, in the order of the data set's list."""
    names = protocol.names(root, listed)
    if chosen is not None:
        wanted = list(dict.fromkeys(chosen))
        for name in wanted:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                advice = f"did you mean {close[0]}?" if close else f"there is {', '.join(names)}"
                raise UserError(f"there is no sequence {name!r}", fix=advice)
        names = wanted
    if not names:
        raise UserError(f"data {root}", expected="at least one sequence", got="none")
    return [protocol.entry(root, name) for name in names]


def _conclude(done: Mapping[str, Record], protocol: Benchmark) -> dict[str, Any]:
    """Overall scores, and those of each sequence."""
    num_frames = sum(record["num_frames"] for record in done.values())
    seconds = sum(record["num_frames"] * record["seconds_per_frame"] for record in done.values())
    return {
        "overall": summarize([record["evidence"] for record in done.values()], protocol.kinds),
        "seconds_per_frame": seconds / num_frames,
        "sequences": {
            name: {
                **record["scores"],
                "num_frames": record["num_frames"],
                "seconds_per_frame": record["seconds_per_frame"],
            }
            for name, record in done.items()
        },
    }

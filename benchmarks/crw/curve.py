"""J&F on real sequences while an encoder learns: the figure to watch, not the loss.

    python -m benchmarks.crw.curve FOLDER... --davis ROOT --run RUN [--every 100] [--sequences ...]
        [--leave-out ...] [--set NAME=VALUE ...]

FOLDERs hold videos or folders of frames to train on without labels; sequences to leave out of
training are named by ``--leave-out``. A preset learns ("dense" by default). Every so many
steps its averaged weights, with a reader fitted on frames of the videos, carry the masks of each
sequence of DAVIS through every third of its first thirty frames (m 5, r 16): a quick stand-in for
the protocol, whose J&F it is not. Writes RUN/curve.json and RUN/curve.png. Not run by make bench:
minutes to an hour on a core.

Source: Thesis Fig. 3.5a.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalable_binding.atomic import write_text
from scalable_binding.cli.settings import configure
from scalable_binding.crw import calibration, evaluate, train
from scalable_binding.crw.benchmarks import Entry, Video, davis_names, pairs
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.model import Encoder
from scalable_binding.crw.presets import CRWConfig, PropagationConfig
from scalable_binding.crw.scoring import MaskScore
from scalable_binding.data.frames import images
from scalable_binding.data.labels import masks
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import Hook
from scalable_binding.plots import curves
from scalable_binding.plots.curves import Curve, Panel

THIN, NUM_FRAMES = 3, 10
STAND_IN = PropagationConfig(context=5, radius=16.0)

Points = dict[str, dict[int, float]]
"""J&F by sequence and step."""


def thinned(davis: Path, name: str) -> Entry:
    """Every third frame of a sequence's first thirty."""
    found, annotations = pairs(
        davis / "JPEGImages" / "480p" / name, davis / "Annotations" / "480p" / name
    )
    frames = list(islice(found, 0, THIN * NUM_FRAMES, THIN))
    truth = list(islice(annotations, 0, THIN * NUM_FRAMES, THIN))

    def at_hand() -> Video:
        score = MaskScore(lambda t: masks.read(truth[t]), len(frames))
        return Video(frames=map(images.read, frames), scores={"masks": score})

    return Entry(name=name, num_frames=len(frames), open=at_hand)


class Watch:
    """Scores a model on sequences as it learns, and keeps the curve in a folder."""

    def __init__(
        self,
        entries: Sequence[Entry],
        folder: Path,
        prepare: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> None:
        self.entries, self.folder, self.prepare = entries, folder, prepare
        path = folder / "curve.json"
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        self.points: Points = {
            entry.name: {int(step): y for step, y in found.get(entry.name, {}).items()}
            for entry in entries
        }

    def __call__(self, step: int, model: nn.Module, run: Path) -> dict[str, float]:
        prepared = self.prepare(model)
        for entry in self.entries:
            self.points[entry.name][step] = _jf(entry, prepared)
        mean = statistics.mean(of[step] for of in self.points.values())
        write_text(self.folder / "curve.json", json.dumps(self.points, indent=2) + "\n")
        curves.save(self.folder / "curve.png", self.panels())
        return {"J&F": mean}

    def panels(self) -> list[Panel]:
        """One line a sequence, and their mean."""
        steps = sorted(next(iter(self.points.values())))
        lines = [
            Curve(label=name, x=steps, y=[of[step] for step in steps])
            for name, of in self.points.items()
        ]
        means = [statistics.mean(of[step] for of in self.points.values()) for step in steps]
        mean = Curve(label="mean", x=steps, y=means)
        return [
            Panel(curves=lines, x_label="training steps", y_label="J&F (stand-in)"),
            Panel(curves=[mean], x_label="training steps", y_label="mean J&F (stand-in)"),
        ]


def _jf(entry: Entry, model: FeatureModel | nn.Module) -> float:
    assert isinstance(model, FeatureModel)
    return float(evaluate.score(entry, model, STAND_IN)["scores"]["J&F"])


def folders(roots: Sequence[Path], left_out: Sequence[str], beside: Path) -> list[Path]:
    """The folders to train on; where some sequences stay out, one of links to the others."""
    if not left_out:
        return list(roots)
    linked = []
    for number, root in enumerate(roots):
        folder = beside / f"{number}-{root.name}"
        folder.mkdir(parents=True)
        linked.append(folder)
        for path in sorted(root.iterdir()):
            if path.name not in left_out:
                (folder / path.name).symlink_to(path.resolve())
    return linked


def fit_reader(config: CRWConfig, data: Sequence[Path]) -> Callable[[nn.Module], nn.Module]:
    """A function that gives an encoder in training the reader of its preset, fitted on frames."""
    if config.reader is None:
        return lambda model: model
    reader, frames = to_mapping(config.reader), calibration.frames_of(data)

    def prepare(model: nn.Module) -> nn.Module:
        assert isinstance(model, Encoder)
        encoder = calibration.reread(copy.deepcopy(model), reader)
        encoder.calibrate(frames)
        return encoder

    return prepare


def learn(config: CRWConfig, data: list[Path], run: Path, watch: Watch, every: int) -> None:
    """Train, scoring on the way and before the first step."""
    run.mkdir(parents=True, exist_ok=True)
    if not all(0 in of for of in watch.points.values()):
        watch(0, train.build(config).eval(), run)
    train.train(config, data, run, hooks=[Hook(every, watch)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--davis", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--preset", default="dense")
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--sequences", nargs="*", default=None)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--set", nargs="*", default=[], dest="settings", metavar="NAME=VALUE")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    names = chosen.sequences or davis_names(chosen.davis, None)
    config = configure("crw", chosen.preset, settings=chosen.settings)
    entries = [thinned(chosen.davis, name) for name in names]
    with tempfile.TemporaryDirectory() as beside:
        data = folders(chosen.data, chosen.leave_out, Path(beside))
        watch = Watch(entries, chosen.run, fit_reader(config, data))
        learn(config, data, chosen.run, watch, chosen.every)


if __name__ == "__main__":
    main()

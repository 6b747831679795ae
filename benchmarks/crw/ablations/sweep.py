"""Runs that differ in one setting, trained and scored on the way; none is done twice.

One folder holds it all: ``footage-SIDE/`` to train on, ``runs/NAME/`` as training leaves them,
with ``score-STEP.json`` for every stage that is scored. NAME is drawn from all settings, so that
studies share the run that they have in common.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from scalable_binding.atomic import write_text
from scalable_binding.crw import evaluate, train
from scalable_binding.crw.benchmarks import Entry, Video
from scalable_binding.crw.inference import FeatureModel
from scalable_binding.crw.presets import (
    ClipConfig,
    CRWConfig,
    EncoderConfig,
    PropagationConfig,
    ViewConfig,
    WalkConfig,
)
from scalable_binding.crw.scoring import MaskScore
from scalable_binding.data import synthetic
from scalable_binding.data.frames.videos import FOLDER_FPS
from scalable_binding.data.synthetic import WorldConfig
from scalable_binding.data.synthetic.clips import scene_seed
from scalable_binding.data.synthetic.painting import frames as paint
from scalable_binding.engine.config import override, to_mapping
from scalable_binding.engine.fit_config import EmaConfig, FitConfig, OptimizerConfig, ScheduleConfig

Scores = dict[str, Any]

TRAINING_SEED, HELD_OUT_SEED = 1, 2018

WORLD_FPS = 8.0
"""Frames a second at which the synthetic world's default motion is what one frame moves."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is trained and scored.

    Args:
        config: what every run starts from; its learning rate must be constant, since a run is
            scored on its way.
        stages: how often a run is scored on its way.
        num_videos: of the synthetic world to train on, of two seconds.
        side: of these, and shorter side of the held-out scenes, in pixels.
        num_scenes, num_frames: held out, to score on.
    """

    config: CRWConfig
    stages: int
    num_videos: int
    side: int
    num_scenes: int
    num_frames: int


def narrow() -> Scale:
    """A quarter of a ResNet-18's widths up to res3, for a minute or two a run on one core."""
    config = CRWConfig(
        encoder=EncoderConfig(widths=(16, 32, 64), width=64, padding="zeros"),
        clips=ClipConfig(num_frames=4, fps=8.0, size=160, crop=128),
        walk=WalkConfig(
            nodes="cells", views=ViewConfig(size=96, shift=16.0, scale=0.15, color=0.0)
        ),
        fit=FitConfig(
            steps=300,
            batch_size=4,
            optimizer=OptimizerConfig(name="adamw", lr=1e-3, weight_decay=1e-4),
            schedule=ScheduleConfig(warm_up=20),
            ema=EmaConfig(decay=0.98),
            bfloat16=True,
            channels_last=True,
            progress=False,
        ),
        picture_every=0,
    )
    return Scale(config=config, stages=3, num_videos=80, side=160, num_scenes=6, num_frames=32)


def quick() -> Scale:
    """Seconds in all: whether the machinery works, and nothing about the questions."""
    changes = {
        "encoder.widths": (4, 8, 8),
        "clips.size": 64,
        "clips.crop": 48,
        "walk.views.size": 32,
        "fit.steps": 2,
        "fit.batch_size": 2,
    }
    config = override(narrow().config, changes)
    return Scale(config=config, stages=1, num_videos=2, side=64, num_scenes=1, num_frames=4)


class Sweep:
    """Trains and scores in ``out``.

    Args:
        scale: sizes of everything.
        out: folder for footage, runs and scores.
        clips: folders of further videos to train on.
        davis: a DAVIS root to score the end of each run on too, and the sequences to take.
    """

    def __init__(
        self,
        scale: Scale,
        out: Path,
        *,
        clips: Sequence[Path] = (),
        davis: Path | None = None,
        sequences: Sequence[str] | None = None,
    ) -> None:
        self.scale, self.out, self.clips = scale, out, list(clips)
        self.davis, self.sequences = davis, sequences
        self._scenes: list[Entry] = []

    def train(self, changes: dict[str, Any], seed: int) -> list[Scores]:
        """Return the scores of a run with these changes, from no step at all to the last stage."""
        config = self._config(changes, seed)
        run = self.run_folder(changes, seed)
        steps = config.fit.steps
        scores = [self._scored(run, 0, lambda: train.build(config).eval())]
        for stage in range(1, self.scale.stages + 1):
            done = steps * stage // self.scale.stages
            until = override(config, {"fit.steps": done, "fit.save_every": done})
            scores.append(self._scored(run, done, partial(self._fit, until, run)))
        if self.davis is not None:
            scores[-1] |= self._on_davis(run)
        return scores

    def run_folder(self, changes: dict[str, Any], seed: int) -> Path:
        """Return where the run with these changes lies."""
        return self.out / "runs" / self._name(self._config(changes, seed))

    def untrained(self) -> FeatureModel:
        """Return the encoder that runs of seed 0 start from."""
        return train.build(self._config({}, 0)).eval()

    def score(self, features: FeatureModel, config: PropagationConfig | None = None) -> Scores:
        """Return J&F, J and F of a model on the held-out scenes, a mean over all objects."""
        config = config or PropagationConfig()
        records = [evaluate.score(entry, features, config) for entry in self._held_out()]
        evidence = [record["evidence"] for record in records]
        found = evaluate.summarize(evidence, {"masks": MaskScore})
        return {name: found[name] for name in ("J&F", "J_mean", "F_mean")}

    def _fit(self, config: CRWConfig, run: Path) -> FeatureModel:
        return train.train(config, [self._footage(), *self.clips], run)

    def _config(self, changes: dict[str, Any], seed: int) -> CRWConfig:
        return override(self.scale.config, {**changes, "fit.seed": seed})

    def _scored(self, run: Path, step: int, make: Callable[[], FeatureModel]) -> Scores:
        """The scores of what ``make`` gives, with the seconds that making it took; or as kept."""
        path = run / f"score-{step}.json"
        if path.is_file():
            return dict(json.loads(path.read_text(encoding="utf-8")))
        start = time.process_time()
        made = make()
        seconds = time.process_time() - start
        scores = {"step": step, **self.score(made), **_last_line(run), "cpu_seconds": seconds}
        run.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(scores) + "\n")
        return scores

    def _on_davis(self, run: Path) -> Scores:
        """J&F on the DAVIS sequences asked for; an evaluation that was stopped goes on."""
        found = evaluate.evaluate(
            "davis", self.davis, weights=run, sequences=self.sequences, out=run / "davis"
        )
        return {"DAVIS J&F": found["overall"]["J&F"]}

    def _name(self, config: CRWConfig) -> str:
        """A name that differs where anything does that a run's scores depend on."""
        scale = self.scale
        world = [scale.num_videos, scale.side, scale.num_scenes, scale.num_frames, scale.stages]
        facts = [to_mapping(config), world, [str(path.resolve()) for path in self.clips]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    def _footage(self) -> Path:
        """The folder of synthetic videos to train on, painted when it is not there."""
        folder = self.out / f"footage-{self.scale.side}"
        world = WorldConfig(
            height=self.scale.side,
            width=self.scale.side,
            num_frames=round(2 * FOLDER_FPS),
            time_step=WORLD_FPS / FOLDER_FPS,
            split="train",
        )
        for number in range(self.scale.num_videos):
            video = folder / f"{number:03}"
            if not video.is_dir():
                _write_frames(video, paint(world, scene_seed(TRAINING_SEED, number)))
        return folder

    def _held_out(self) -> list[Entry]:
        """The scenes to score on, of textures that are not in the footage; painted once."""
        scale = self.scale
        if not self._scenes:
            world = synthetic.evaluation(
                height=scale.side, width=round(scale.side * 1.75), num_frames=scale.num_frames
            )
            self._scenes = [
                _scene(world, scene_seed(HELD_OUT_SEED, number), f"scene-{number}")
                for number in range(scale.num_scenes)
            ]
        return self._scenes


def _scene(world: WorldConfig, seed: int, name: str) -> Entry:
    """A scene whose objects are followed from the first frame; others are background."""
    truth = synthetic.render(world, seed)
    table = torch.zeros(256, dtype=torch.uint8)
    present = truth.masks[0].unique()
    present = present[present > 0].long()
    table[present] = torch.arange(1, len(present) + 1, dtype=torch.uint8)
    ids = table[truth.masks.long()]

    def at_hand() -> Video:
        masks = MaskScore(lambda t: ids[t], world.num_frames)
        return Video(frames=truth.frames.unbind(), scores={"masks": masks})

    return Entry(name=name, num_frames=world.num_frames, open=at_hand)


def _write_frames(folder: Path, frames: Tensor) -> None:
    """Write frames as JPEGs, quick to read, to a folder that is whole or not there."""
    partial = folder.with_name(f".{folder.name}")
    partial.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(rearrange(frames, "t c h w -> t h w c").numpy()):
        Image.fromarray(frame).save(partial / f"{number:03}.jpg", quality=92)
    partial.rename(folder)


def _last_line(run: Path) -> Scores:
    """Loss and accuracy of the longest way out and back, at the end of a run's log."""
    path = run / "log.jsonl"
    if not path.is_file():
        return {}
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    hops = max(int(name.rpartition("_")[2]) for name in last if name.startswith("accuracy_"))
    figures = {"loss": last["loss"], "return accuracy": last[f"accuracy_{hops}"]}
    return {name: value for name, value in figures.items() if math.isfinite(value)}

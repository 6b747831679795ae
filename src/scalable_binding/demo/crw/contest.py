"""The scene to label, and the encoders that try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scalable_binding.crw import inference, model
from scalable_binding.crw.inference import FeatureModel, Prediction
from scalable_binding.crw.labels import Labels
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.scene import draw_scene
from scalable_binding.demo.stage import Stage

BASELINES = ("random", "raw")


@dataclass(frozen=True)
class Contest:
    """A scene and, by name, the encoders that label it; the first of them is the one to show."""

    scene: Scene
    models: dict[str, FeatureModel]

    @property
    def shown(self) -> str:
        """The name of the encoder to show."""
        return next(iter(self.models))


def prepare(stage: Stage) -> Contest:
    """The scene of the demo's seed, the encoder to show, and the baselines.

    Raises:
        UserError: the weights cannot be loaded.
    """
    config = stage.config
    names = dict.fromkeys((config.weights, *BASELINES))
    models: dict[str, FeatureModel] = {
        _title(name): model.load(name, seed=config.seed) for name in names
    }
    return Contest(draw_scene(config), models)


def carry(stage: Stage, contest: Contest, name: str, labels: Labels) -> list[Prediction]:
    """The labels of every frame by the encoder ``name``, from those of the first."""
    frames = contest.scene.frames
    found = inference.propagate(frames, labels, contest.models[name])
    return list(stage.track(found, name, len(frames)))


def _title(weights: str) -> str:
    known = {"shipped": "shipped encoder", "random": "random encoder", "raw": "raw pixels"}
    return known.get(weights, Path(weights).stem)

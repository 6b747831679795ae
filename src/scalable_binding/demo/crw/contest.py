"""The scene to label, and the encoders that try."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scalable_binding.crw import inference, model
from scalable_binding.crw.inference import FeatureModel, Prediction
from scalable_binding.crw.labels import Labels
from scalable_binding.crw.presets import PropagationConfig
from scalable_binding.data.synthetic import Scene
from scalable_binding.demo.context import Context
from scalable_binding.demo.crw.scene import draw_scene
from scalable_binding.engine.checkpoint import WEIGHTS

BASELINES = ("random", "raw")
RANDOM = "random encoder"

_TITLES = {"shipped": "shipped encoder", "random": RANDOM, "raw": "raw pixels"}


@dataclass(frozen=True)
class Contest:
    """A scene and, by name, the encoders that label it; the first of them is the one to show."""

    scene: Scene
    models: dict[str, FeatureModel]

    @property
    def shown(self) -> str:
        """The name of the encoder to show."""
        return next(iter(self.models))


def prepare(context: Context) -> Contest:
    """The scene of the demo's seed, the encoder to show, and the baselines.

    Raises:
        UserError: the weights cannot be loaded.
    """
    names = dict.fromkeys((choose_weights(context.config.crw.weights), *BASELINES))
    models: dict[str, FeatureModel] = {
        _TITLES.get(name, Path(name).stem): model.load(name, seed=context.config.seed)
        for name in names
    }
    return Contest(draw_scene(context.config), models)


def choose_weights(asked: str | None) -> str:
    """The weights asked for; by default the shipped ones where the package holds them."""
    if asked is not None:
        return asked
    return "shipped" if (model.SHIPPED / WEIGHTS).is_file() else "random"


def carry(context: Context, contest: Contest, name: str, labels: Labels) -> list[Prediction]:
    """The labels of every frame by the encoder ``name``, from those of the first."""
    frames = contest.scene.frames
    config = PropagationConfig(zoom=context.config.crw.zoom)
    found = inference.propagate(frames, labels, contest.models[name], config)
    return list(context.track(found, name, len(frames)))
